"""Rules: which rules of ruff apply, and as which of our issues of style each one counts.

Rules that report the same thing are one issue, so that it is not charged twice. Rules about
types, security of files, tests and the like are left out, as they do not suit short answers to
programming tasks, and so are those that the starter code of a task decides.
"""

RULES: dict[str, tuple[str, ...]] = {
    # Layout
    "long line": ("line-too-long",),
    "trailing blanks": ("trailing-whitespace", "blank-line-with-whitespace"),
    "tab or odd indentation": (
        "tab-indentation",
        "mixed-spaces-and-tabs",
        "indentation-with-invalid-multiple",
        "over-indented",
    ),
    "several statements on a line": (
        "multiple-statements-on-one-line-colon",
        "multiple-statements-on-one-line-semicolon",
        "useless-semicolon",
    ),
    "spacing": (
        "whitespace-after-open-bracket",
        "whitespace-before-close-bracket",
        "whitespace-before-punctuation",
        "whitespace-before-parameters",
        "multiple-spaces-before-operator",
        "multiple-spaces-after-operator",
        "missing-whitespace-around-operator",
        "missing-whitespace",
        "unexpected-spaces-around-keyword-parameter-equals",
    ),
    "blank lines": (
        "blank-line-between-methods",
        "blank-lines-top-level",
        "too-many-blank-lines",
        "blank-lines-after-function-or-class",
    ),
    "import not on a line of its own at the top": (
        "multiple-imports-on-one-line",
        "module-import-not-at-top-of-file",
    ),
    # Names
    "name": (
        "invalid-class-name",
        "invalid-function-name",
        "invalid-argument-name",
        "invalid-first-argument-name-for-class-method",
        "invalid-first-argument-name-for-method",
        "non-lowercase-variable-in-function",
        "mixed-case-variable-in-class-scope",
        "mixed-case-variable-in-global-scope",
        "ambiguous-variable-name",
        "ambiguous-class-name",
        "ambiguous-function-name",
    ),
    "shadowed built-in": (
        "builtin-variable-shadowing",
        "builtin-argument-shadowing",
        "builtin-import-shadowing",
    ),
    # What is not needed
    "unused import": ("unused-import",),
    "unused name": ("unused-variable",),
    "unused parameter": (
        "unused-function-argument",
        "unused-method-argument",
        "unused-lambda-argument",
    ),
    "unused loop variable": ("unused-loop-control-variable",),
    "defined twice": ("redefined-while-unused",),
    "commented-out code": ("commented-out-code",),
    "superfluous statement": ("unnecessary-placeholder", "useless-return", "useless-else-on-loop"),
    "else after a jump": (
        "superfluous-else-return",
        "superfluous-else-raise",
        "superfluous-else-continue",
        "superfluous-else-break",
    ),
    "constant condition": (
        "expr-and-not-expr",
        "expr-or-not-expr",
        "expr-or-true",
        "expr-and-false",
        "comparison-with-itself",
        "comparison-of-constant",
    ),
    # Habits that hide faults
    "bare except": ("bare-except",),
    "silenced exception": ("try-except-pass", "try-except-continue"),
    "mutable default": ("mutable-argument-default",),
    "eval or exec": ("exec-builtin", "suspicious-eval-usage"),
    "import *": ("undefined-local-with-import-star",),
    "global": ("global-statement",),
    "file left open": ("open-file-with-context-handler",),
    "some paths return nothing": ("implicit-return",),
    "is with a literal": ("is-literal",),
    "overwritten loop variable": ("redefined-loop-name",),
    # Idiom
    "named lambda": ("lambda-assignment",),
    "== None": ("none-comparison",),
    "== True or False": ("true-false-comparison",),
    "type(x) == T": ("type-comparison",),
    "not x in y": ("not-in-test", "not-is-test"),
    "True or False spelt out": (
        "needless-bool",
        "if-expr-with-true-false",
        "if-expr-with-false-true",
        "if-expr-with-twisted-arms",
    ),
    "double negation": ("negate-equal-op", "negate-not-equal-op", "double-negation"),
    "nested if": ("collapsible-if", "collapsible-else-if"),
    "branches alike": ("if-with-same-arms",),
    "repeated comparison": ("repeated-equality-comparison", "duplicate-isinstance-call"),
    "constant before variable": ("yoda-conditions",),
    "loop for any, all or a comprehension": (
        "reimplemented-builtin",
        "manual-list-comprehension",
        "manual-list-copy",
        "manual-dict-comprehension",
    ),
    "loop counter by hand": ("enumerate-for-loop", "unnecessary-list-index-lookup"),
    "roundabout comprehension": (
        "unnecessary-generator-list",
        "unnecessary-generator-set",
        "unnecessary-generator-dict",
        "unnecessary-list-comprehension-set",
        "unnecessary-list-comprehension-dict",
        "unnecessary-literal-set",
        "unnecessary-literal-within-tuple-call",
        "unnecessary-literal-within-list-call",
        "unnecessary-list-call",
        "unnecessary-call-around-sorted",
        "unnecessary-double-cast-or-process",
        "unnecessary-subscript-reversal",
        "unnecessary-comprehension",
        "unnecessary-map",
        "unnecessary-literal-within-dict-call",
        "unnecessary-comprehension-in-call",
        "unnecessary-dict-comprehension-for-iterable",
    ),
    "dict walked by its keys": (
        "in-dict-keys",
        "incorrect-dict-iterator",
        "dict-index-missing-items",
        "unnecessary-dict-index-lookup",
    ),
    "if for dict.get": ("if-else-block-instead-of-dict-get",),
    "max or min spelt out": ("if-stmt-min-max", "if-expr-min-max"),
    "len as a condition": ("len-test",),
    "swap by hand": ("swap-with-temporary-variable",),
    "% formatting": ("printf-string-formatting",),
    "f-string without a field": ("f-string-missing-placeholders",),
    "needless lambda": ("unnecessary-lambda", "unnecessary-direct-lambda-call"),
    "range(0, n)": ("unnecessary-range-start",),
}
"""Rules of ruff by issue."""

ISSUE_OF = {rule: issue for issue, rules in RULES.items() for rule in rules}

LINE_LENGTH = 99
"""Longest line without a penalty (PEP 8's upper allowance)."""

SETTINGS = (
    *("--isolated", "--no-cache", "--quiet", "--preview", "--output-format", "pylint"),
    *("--target-version", "py311", "--line-length", str(LINE_LENGTH)),
    *("--select", ",".join(sorted(ISSUE_OF))),
    *("--config", "lint.explicit-preview-rules=true"),
    *("--config", "lint.dummy-variable-rgx='^_.*$'"),
    *(
        "--config",
        "lint.flake8-builtins.ignorelist=['id', 'input', 'copyright', 'credits', 'license']",
    ),
)
"""Options of ``ruff check``; configuration files are not read."""
