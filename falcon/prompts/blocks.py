"""Code blocks of an answer, as CommonMark has them: any fence, in lists and quotations, too.

A block is known by the characters of the answer that are its code, line by line: what a list or a
quotation puts before its lines is left out.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from markdown_it import MarkdownIt

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_SPOKEN = re.compile(
    r"^(?=.*\w)(?P<words>.*?\S[ \t]*)(?:`{3,}|~{3,})[ \t]*(?:python3?|py)[ \t]*$",
    re.MULTILINE,
)
_MARKS = re.compile(r"^\[(/?)PYTHON\]", re.MULTILINE)

_LATER = 4
"""Fences in a doc string that are tried as lines of the code, at most."""

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Block:
    """``ranges``: its lines in the answer, [start, end) each. ``info``: the language, in lower
    case. ``later``: with what follows up to the next such fences, should one of its own lines have
    closed it."""

    ranges: Ranges
    info: str
    later: tuple[Ranges, ...] = ()


@functools.cache
def _parser(*, indented: bool) -> MarkdownIt:
    parser = MarkdownIt("commonmark").disable(["html_block", "inline", "reference"])
    return parser if indented else parser.disable("code")


def blocks(text: str, *, anywhere: bool = False) -> list[Block]:
    """The fenced blocks of a text, in order; one that is not closed goes on to the end.

    ``anywhere``: a fence may stand behind words, and as far to the right as it likes.
    """
    known = with_fences(text)
    if anywhere:
        known = _SPOKEN.sub(_on_its_own_line, known)
    lines = [(m.start(), m.end()) for m in _LINE.finditer(known) if m.group()]
    found = []
    for token in _parser(indented=not anywhere).parse(known.replace("\0", " ")):
        if token.type != "fence" or token.map is None:
            continue
        first, end = token.map[0] + 1, token.map[1]
        content = token.content.removesuffix("\n").split("\n")
        ranges = tuple(
            (_code_start(known, line, own), line[1])
            for line, own in zip(lines[first:end], content, strict=False)
        )
        later = tuple(_later(known, lines, first, end, token.markup)) if ranges else ()
        found.append(Block(ranges, token.info.strip().lower(), later))
    return found


def with_fences(text: str) -> str:
    """The same text with the marks of CodeLlama as fences of the same length."""
    return _MARKS.sub(lambda mark: "```      " if mark.group(1) else "```py   ", text)


def _on_its_own_line(match: re.Match[str]) -> str:
    # As long as before, so that places stay: the last character of the words becomes a line end.
    whole, words = match.group(), match.group("words")
    return (
        whole if not words.strip(" \t>*-+.0123456789") else f"{words[:-1]}\n{whole[len(words) :]}"
    )


def _code_start(text: str, line: tuple[int, int], own: str) -> int:
    """Where the code of a line begins behind what a list or a quotation puts there."""
    whole = text[slice(*line)].rstrip("\r\n")
    if whole.endswith(own):
        return line[0] + len(whole) - len(own)
    return line[0] + len(whole) - len(whole.lstrip())  # a tab of which a part is a list's


def _later(
    text: str, lines: list[tuple[int, int]], first: int, end: int, fence: str
) -> Iterator[Ranges]:
    closing = (n for n in range(end, len(lines)) if text[slice(*lines[n])].strip() == fence)
    for n in islice(closing, _LATER):
        yield tuple(lines[first:n])
