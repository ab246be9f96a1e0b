"""The canonical form of a program: what counts as the same program for deduplication.

Comments, blank lines, spaces between tokens, the width of indentation and line breaks inside
brackets go; names, constants, docstrings and order stay, because feedback speaks of them.
Purely textual, so that memories agree over versions of Python. What the small scanner here
cannot be sure of (open brackets or strings, tabs, quotes nested in an f-string) keeps its
lines as they are: then one program may stay two, but two are never taken for one.
"""

from __future__ import annotations

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
"""Signs that would read as one operator without the space between them."""


class _Unsure(Exception):
    """The scanner may have misread the program."""


class _Token(NamedTuple):
    kind: str
    text: str


def _apart(one: _Token, two: _Token) -> bool:
    """Whether a space between two tokens means something."""
    if one.kind != "sign" and two.kind != "sign":
        return True
    return one.text + two.text in _PAIRS or "." in (one.text, two.text)


def _check(token: _Token) -> None:
    if token.kind == "sign" and token.text in "\"'":
        raise _Unsure
    if token.kind == "string" and token.text.count("{") != token.text.count("}"):
        prefix = token.text.lower().partition(token.text[-1])[0]
        if "f" in prefix or "t" in prefix:
            raise _Unsure  # a quote inside the braces ended the token early


def _logical_lines(code: str) -> list[tuple[int, str]]:
    """Indentation and joined tokens of each logical line."""
    lines: list[tuple[int, str]] = []
    parts: list[str] = []
    indent = depth = 0
    gap = False
    last: _Token | None = None
    for found in _TOKEN.finditer(f"{code}\n"):
        token = _Token(str(found.lastgroup), found.group())
        if token.kind == "line" and depth == 0:
            if parts:
                lines.append((indent, "".join(parts)))
            parts, indent, gap, last = [], 0, False, None
        elif token.kind in ("line", "space", "join"):
            gap = True
            if last is None and token.kind == "space":
                indent = len(token.text)
        elif token.kind != "comment":
            _check(token)
            if gap and last is not None and _apart(last, token):
                parts.append(" ")
            if token.kind == "sign":
                depth += (token.text in "([{") - (token.text in ")]}")
                if depth < 0:
                    raise _Unsure
            parts.append(token.text)
            last, gap = token, False
    if depth:
        raise _Unsure
    return lines


def _indented(lines: list[tuple[int, str]]) -> str:
    levels, out = [0], []
    for indent, text in lines:
        if indent > levels[-1]:
            levels.append(indent)
        while indent < levels[-1]:
            levels.pop()
        if indent != levels[-1]:
            raise _Unsure  # back to a level that was never opened
        out.append(" " * (len(levels) - 1) + text)
    return "\n".join(out)


def canonical_program(code: str) -> str:
    """The canonical form of a program. Equal for two programs only if they are the same to Python."""
    code = code.replace("\r\n", "\n").replace("\r", "\n")
    try:
        if re.search(r"^ *[\t\f]", code, re.MULTILINE):
            raise _Unsure
        return _indented(_logical_lines(code))
    except _Unsure:
        return code.strip()
