"""Small corruptions of a program, so that memory has failures to learn from.

One edit of the text: an operator, a comparison, a constant, a returned value, or a cut that
breaks the syntax. Formatting and comments stay. Whether the edit changes what the program does
is not known here: the sandbox finds out.
"""

import io
import tokenize
import warnings
from collections import defaultdict

import numpy as np

SWAPS = {
    "operator": {"+": "-", "-": "+", "*": "+", "//": "*", "/": "*", "%": "//", "**": "*",
                 "+=": "-=", "-=": "+=", "*=": "+=", "and": "or", "or": "and"},
    "comparison": {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="},
    "constant": {"True": "False", "False": "True"},
}  # fmt: skip

Edit = tuple[int, int, str]
"""Replace the characters [start, end) by a text."""


def _parses(source: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # e.g. about its escapes
        try:
            compile(source, "<variant>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return False
    return True


def _edits(source: str) -> dict[str, list[Edit]]:
    """All possible edits by kind, in the order of the text."""
    starts = [0]  # offset of each line; tokenize counts lines from 1 and columns in characters
    for line in io.StringIO(source, newline=""):  # "" keeps \r\n, which has two characters
        starts.append(starts[-1] + len(line))
    edits: dict[str, list[Edit]] = defaultdict(list)
    tokens = list(tokenize.generate_tokens(io.StringIO(source, newline="").readline))
    for number, token in enumerate(tokens):
        begin = starts[token.start[0] - 1] + token.start[1]
        end = starts[token.end[0] - 1] + token.end[1]
        if token.type == tokenize.NUMBER and token.string.isdecimal():
            edits["constant"].append((begin, end, str(int(token.string) + 1)))
        elif token.type in (tokenize.OP, tokenize.NAME):
            for kind, swaps in SWAPS.items():
                if token.string in swaps:
                    edits[kind].append((begin, end, swaps[token.string]))
        if token.string == "return" and token.type == tokenize.NAME:
            stop = next(  # the end of the logical line, which may be some lines below
                t for t in tokens[number:] if t.type in (tokenize.NEWLINE, tokenize.ENDMARKER)
            )
            edits["return"].append((end, starts[stop.start[0] - 1] + stop.start[1], " None"))
        if token.type == tokenize.OP and token.string in "()[]{}:":
            edits["syntax"].append((begin, end, ""))
    return edits


def corrupt(source: str, rng: np.random.Generator) -> str:
    """A variant of ``source`` with one edit: a random kind, then a random place for it.

    Raises ValueError when ``source`` is no valid Python. Deterministic for a given generator.
    """
    if not _parses(source):
        raise ValueError("the program to corrupt is not valid Python")
    choices: dict[str, list[str]] = {}
    for kind, edits in sorted(_edits(source).items()):
        variants = [source[:begin] + text + source[end:] for begin, end, text in edits]
        must_parse = kind != "syntax"
        choices[kind] = [v for v in variants if v != source and _parses(v) is must_parse]
    kinds = [kind for kind, variants in choices.items() if variants]
    if not kinds:
        return source.rstrip() + " ("  # nothing to change: an open call breaks the syntax
    variants = choices[kinds[int(rng.integers(len(kinds)))]]
    return variants[int(rng.integers(len(variants)))]
