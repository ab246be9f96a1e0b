"""Style reward: how well a program follows the conventions of Python.

The static judge starts at 2 and subtracts a penalty for each kind of issue, and a little more for
repetitions, down to -1. Most issues are findings of ruff, by the rules of
:mod:`falcon.feedback.rules`; a few are our own. Only text and syntax tree count, not whether
names are well chosen or the program is correct. An issue of a name that the reference has, too,
costs nothing: the task may require a name in camelCase.
"""

import math
from collections.abc import Sequence

from falcon.feedback.facts import Facts
from falcon.feedback.linter import LintFinding
from falcon.feedback.reward import Reward
from falcon.feedback.spans import whole_span

LOW, HIGH = -1.0, 2.0
"""Range of the scores of style and complexity (the paper's evaluation model)."""

PENALTY = {
    # Layout
    "long line": 0.25,
    "trailing blanks": 0.05,
    "tab or odd indentation": 0.2,
    "several statements on a line": 0.3,
    "spacing": 0.2,
    "blank lines": 0.05,
    "import not on a line of its own at the top": 0.1,
    # Names
    "name": 0.3,
    "shadowed built-in": 0.25,
    # What is not needed
    "unused import": 0.3,
    "unused name": 0.25,
    "unused parameter": 0.2,
    "unused loop variable": 0.05,
    "unused function": 0.3,
    "defined twice": 0.3,
    "commented-out code": 0.2,
    "superfluous statement": 0.1,
    "else after a jump": 0.1,
    "constant condition": 0.25,
    "dead statement": 0.4,
    "repeated code": 0.4,
    # Documentation
    "no docstring": 0.25,
    "more comments than code": 0.4,
    # Habits that hide faults
    "bare except": 0.5,
    "silenced exception": 0.3,
    "mutable default": 0.5,
    "eval or exec": 0.5,
    "import *": 0.4,
    "global": 0.25,
    "file left open": 0.25,
    "some paths return nothing": 0.15,
    "is with a literal": 0.3,
    "overwritten loop variable": 0.1,
    # Idiom
    "named lambda": 0.3,
    "== None": 0.3,
    "== True or False": 0.25,
    "type(x) == T": 0.25,
    "not x in y": 0.15,
    "True or False spelt out": 0.25,
    "double negation": 0.15,
    "nested if": 0.15,
    "branches alike": 0.25,
    "repeated comparison": 0.15,
    "constant before variable": 0.1,
    "loop for any, all or a comprehension": 0.15,
    "loop counter by hand": 0.15,
    "range(len(x))": 0.15,
    "roundabout comprehension": 0.15,
    "dict walked by its keys": 0.15,
    "if for dict.get": 0.15,
    "max or min spelt out": 0.15,
    "len as a condition": 0.1,
    "swap by hand": 0.15,
    "% formatting": 0.1,
    "f-string without a field": 0.1,
    "needless lambda": 0.1,
    "range(0, n)": 0.05,
}
_NAMED = frozenset({"name", "shadowed built-in", "unused parameter"})
"""Issues of a name, which the task may require."""
_MOST = 2.5
"""An issue costs at most so many times its penalty, however often it occurs."""


def _own(facts: Facts, reference: Facts | None) -> dict[str, int]:
    """Counts of the issues that ruff has no rule for."""
    called = set(reference.outermost) if reference else set()
    unused = [f for f in facts.outermost if f not in facts.loaded and f not in called]
    return {
        **facts.issues,
        # Without a reference, one of the functions is assumed to be called by the tests.
        "unused function": max(0, len(unused) - (not called)),
        "dead statement": facts.dead_statements,
        "no docstring": int(bool(facts.functions) and not facts.documented),
        "more comments than code": int(facts.comment_lines > max(3, facts.code_lines)),
    }


def _lines(findings: Sequence[LintFinding], issue: str) -> str:
    lines = sorted({finding.line for finding in findings if finding.issue == issue})
    shown = ", ".join(map(str, lines[:3])) + (" ..." if len(lines) > 3 else "")
    return f" (line{'s' if len(lines) > 1 else ''} {shown})" if lines else ""


def static_style(
    facts: Facts,
    findings: Sequence[LintFinding],
    reference: Facts | None = None,
    reference_findings: Sequence[LintFinding] = (),
) -> tuple[float, str]:
    """Style in [-1, 2] and the reason: each issue with its penalty and lines.

    ``findings`` are the linter's on the program, ``reference_findings`` those on the reference.
    """
    if facts.fault:
        return LOW, facts.fault
    usable = reference if reference is not None and not reference.fault else None
    excused = {(each.issue, each.name) for each in reference_findings if each.issue in _NAMED}
    charged = [each for each in findings if (each.issue, each.name) not in excused]
    counts = _own(facts, usable)
    for each in charged:
        counts[each.issue] = counts.get(each.issue, 0) + 1
    value, parts = HIGH, []
    for issue, count in sorted(counts.items()):
        if count > 0:
            # Once, 1.5 times for two, twice for four: repetitions cost less than new kinds.
            loss = PENALTY[issue] * min(_MOST, 1 + 0.5 * math.log2(count))
            value -= loss
            times = f" x{count}" if count > 1 else ""
            parts.append(f"-{loss:.2f} {issue}{times}{_lines(charged, issue)}")
    value = max(LOW, min(HIGH, value))
    return value, "2.00 " + ", ".join(parts) if parts else "no issue"


def style_reward(program: str, score: float, reason: str) -> Reward:
    """The style term over the whole program; ``score`` is a judge's, in [-1, 2]."""
    reason = f"style {score:.2f} {reason}"
    return Reward(term="style", value=score, span=whole_span(program), reason=reason)
