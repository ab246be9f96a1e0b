"""Spans: from a line of a program to its characters, and from characters to tokens.

Lines are counted as CPython counts them (``\\r\\n``, ``\\r`` and ``\\n`` end a line; form
feed and Unicode separators do not). :mod:`falcon.feedback.offsets` finds a token's characters.
"""

import re
from collections.abc import Iterable, Sequence

from falcon.feedback.reward import Reward, Span
from falcon.prompts.excerpt import Piece

_LINE_END = re.compile(r"\r\n|\r|\n")


def whole_span(program: str) -> Span:
    """The span of the whole program (S = 0, E = T)."""
    return Span(start=0, end=len(program), whole=True)


def line_count(program: str) -> int:
    """Number of lines: one more than line ends, so an empty text has one line."""
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
        if number == line - 1:  # the last line may have no line end
            following = _LINE_END.search(program, start)
            return Span(start=start, end=following.start() if following else len(program))
    return Span(start=0, end=len(program)) if line == 1 else None


def first_occurrence(program: str, line: int) -> Span | None:
    """RLTF's matching, kept for comparison: where the stripped text of a line first occurs.

    None when there is no such line or it is blank. The same as :func:`line_span` without
    indentation, unless the text occurs earlier.
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
    pieces: Sequence[Piece],
    *,
    whole_completion: bool = False,
) -> dict[str, list[float]]:
    """The reward of each token of the completion by term: [T] floats, 0.0 outside of the span.

    ``offsets`` are characters in the completion, one pair a token; ``pieces`` say where the
    program's characters stand in it. A token gets a reward when it has a character in the span, or
    when it is empty and lies in the span or at its end. With ``whole_completion``, all tokens of
    the completion get a reward of the program as a whole, text around the program and end token
    included (eq. 7: S = 0, E = T). Two rewards of one term add up.
    """
    by_term: dict[str, list[float]] = {}
    for reward in rewards:
        row = by_term.setdefault(reward.term, [0.0] * len(offsets))
        span = reward.span
        if span is None:
            continue  # the term is present, but all zero
        if whole_completion and span.whole:
            row[:] = [value + reward.value for value in row]
            continue
        ranges = _in_completion(span, pieces)
        for at, (start, end) in enumerate(offsets):
            # Half-open ranges overlap; an empty token has no character to overlap with.
            if any(
                low <= start <= high if start == end else start < high and end > low
                for low, high in ranges
            ):
                row[at] += reward.value
    return by_term


def _in_completion(span: Span, pieces: Sequence[Piece]) -> list[tuple[int, int]]:
    """The characters of the completion that a span of the program stands for."""
    least = min(1, span.end - span.start)  # an empty span is a place between characters
    parts = (piece.within(span.start, span.end) for piece in pieces)
    return [(p.source, p.source + p.length) for p in parts if p.length >= least]
