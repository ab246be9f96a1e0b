"""The canonical form of a program: what counts as the same program for deduplication.

Removed: comments, blank lines, spaces between tokens, the width of indentation and line breaks
inside brackets. Kept: names, constants, docstrings and order, because feedback depends on them.
The form is purely textual, so that memories agree across versions of Python. A program that the
small scanner here may misread (open brackets or strings, tabs, quotes nested in an f-string)
keeps its text: equal programs may then count as two, but different ones never count as one.
"""

import re
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
    (?P<comment>\#[^\n]*)
  | (?P<string>(?:\b[A-Za-z]{1,2})?
      (?:\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}
        |\"(?:[^\\"\n]|\\.)*\"|'(?:[^\\'\n]|\\.)*'))
  | (?P<join>\\\n)
  | (?P<line>\n)
  | (?P<space>[^\S\n]+)
  | (?P<number>\d\w*(?:\.\w*)?(?:(?<=[eE])[+-]\w+)?)
  | (?P<word>\w+)
  | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_PAIRS = {
    *("**", "//", "==", "!=", "<=", ">=", "<<", ">>", "->", ":="),
    *("+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "@="),
}
"""Pairs of signs that would become one operator without the space between them."""


class _CannotScan(Exception):
    """The scanner may misread this program."""


class _Token(NamedTuple):
    kind: str
    text: str


def _needs_space(one: _Token, two: _Token) -> bool:
    """Whether two tokens would read differently without the space between them."""
    if one.kind != "sign" and two.kind != "sign":
        return True  # words and numbers would join
    return one.text + two.text in _PAIRS or "." in (one.text, two.text)  # `1 .real`, `1.real`


def _check_quotes(token: _Token) -> None:
    if token.kind == "sign" and token.text in "\"'":  # a quote that no string pattern took
        raise _CannotScan
    if token.kind == "string" and token.text.count("{") != token.text.count("}"):
        prefix = token.text.lower().partition(token.text[-1])[0]
        if "f" in prefix or "t" in prefix:
            raise _CannotScan  # a quote inside the braces ended the token early


def _logical_lines(code: str) -> list[tuple[int, str]]:
    """Indentation and joined tokens of each logical line."""
    lines: list[tuple[int, str]] = []
    parts: list[str] = []
    indent = depth = 0
    gap = False  # white space since the last token
    last: _Token | None = None  # of this logical line
    for match in _TOKEN.finditer(f"{code}\n"):
        token = _Token(str(match.lastgroup), match.group())
        if token.kind == "line" and depth == 0:  # inside brackets a line goes on
            if parts:
                lines.append((indent, "".join(parts)))
            parts, indent, gap, last = [], 0, False, None
        elif token.kind in ("line", "space", "join"):
            gap = True
            if last is None and token.kind == "space":  # before the first token
                indent = len(token.text)
        elif token.kind != "comment":
            _check_quotes(token)
            if gap and last is not None and _needs_space(last, token):
                parts.append(" ")
            if token.kind == "sign":
                depth += (token.text in "([{") - (token.text in ")]}")
                if depth < 0:
                    raise _CannotScan
            parts.append(token.text)
            last, gap = token, False
    if depth:
        raise _CannotScan
    return lines


def _with_indentation(lines: list[tuple[int, str]]) -> str:
    levels, out = [0], []
    for indent, text in lines:
        if indent > levels[-1]:
            levels.append(indent)
        while indent < levels[-1]:
            levels.pop()
        if indent != levels[-1]:
            raise _CannotScan  # back to a level that was never opened
        out.append(" " * (len(levels) - 1) + text)  # one blank a level, whatever its width was
    return "\n".join(out)


def canonical_program(code: str) -> str:
    """The canonical form of a program. Programs of equal form are the same to Python."""
    code = code.replace("\r\n", "\n").replace("\r", "\n")
    try:
        if re.search(r"^ *[\t\f]", code, re.MULTILINE):  # tab stops: not for this scanner
            raise _CannotScan
        return _with_indentation(_logical_lines(code))
    except _CannotScan:
        return code.strip()
