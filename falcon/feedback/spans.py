"""Spans: from a line of a program to its characters, and from characters to tokens.

Lines are counted as CPython counts them (``\\r\\n``, ``\\r`` and ``\\n`` end a line; form
feed and Unicode separators do not). ``first_occurrence`` is RLTF's matching by text, kept
for comparison: it takes the first line that contains the text, whichever was meant. How
``token_offsets`` finds a token's characters is in :mod:`falcon.feedback.offsets`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from falcon.feedback.offsets import token_offsets
from falcon.feedback.reward import Reward, Span

__all__ = [
    "first_occurrence",
    "line_count",
    "line_span",
    "token_offsets",
    "token_rewards",
    "whole_span",
]

_LINE_END = re.compile(r"\r\n|\r|\n")


def whole_span(program: str) -> Span:
    """The span of a reward earned by all of a program (S = 0, E = T)."""
    return Span(start=0, end=len(program))


def line_count(program: str) -> int:
    """Lines of a program: one more than its line ends, so an empty text has one."""
    return 1 + sum(1 for _ in _LINE_END.finditer(program))


def line_span(program: str, line: int) -> Span | None:
    """Characters of line ``line`` (from 1) without its line end; None when there is no such line.

    The indentation belongs to the span. The line after a final line end exists and is empty.
    """
    if line < 1:
        return None
    start = 0
    for number, end in enumerate(_LINE_END.finditer(program), start=1):
        if number == line:
            return Span(start=start, end=end.start())
        start = end.end()
        if number == line - 1:
            following = _LINE_END.search(program, start)
            return Span(start=start, end=following.start() if following else len(program))
    return Span(start=0, end=len(program)) if line == 1 else None


def first_occurrence(program: str, line: int) -> Span | None:
    """RLTF's matching: where the stripped text of the line first occurs in the program.

    None when there is no such line or it is blank. Equal to :func:`line_span` without
    indentation, unless the same text occurs earlier.
    """
    span = line_span(program, line)
    text = program[span.start : span.end].strip() if span else ""
    if not text:
        return None
    start = program.index(text)
    return Span(start=start, end=start + len(text))


def token_rewards(
    rewards: Iterable[Reward],
    offsets: Sequence[tuple[int, int]],
    program_start: int,
    *,
    program_length: int | None = None,
) -> dict[str, list[float]]:
    """Each term's reward for each token of the completion, 0.0 where it is not earned.

    ``offsets`` are characters in the completion, one pair a token; the program begins at
    character ``program_start`` of it. A token earns a reward when it carries a character
    of the span, or when it is of no width and lies in the span or at its end. With
    ``program_length``, a span over the whole program is earned by all tokens of the
    completion, text around the program and end token included (eq. 7: S = 0, E = T). A
    reward without a span earns nothing anywhere; two rewards of one term add up.
    """
    found: dict[str, list[float]] = {}
    for reward in rewards:
        row = found.setdefault(reward.term, [0.0] * len(offsets))
        span = reward.span
        if span is None:
            continue
        if program_length is not None and span.start <= 0 and span.end >= program_length:
            row[:] = [value + reward.value for value in row]
            continue
        low, high = span.start + program_start, span.end + program_start
        for at, (start, end) in enumerate(offsets):
            inside = low <= start <= high if start == end else start < high and end > low
            if inside:
                row[at] += reward.value
    return found
