"""Excerpts: programs put together from slices of an answer, with the place of each character."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Piece(NamedTuple):
    """``length`` characters of a program from its character ``at`` on, which stand in the answer
    from character ``source`` on."""

    at: int
    source: int
    length: int

    def within(self, start: int, end: int) -> Piece:
        """Its part in the program's characters [start, end); of no length or less: none."""
        low, high = max(self.at, start), min(self.at + self.length, end)
        return Piece(low, self.source + low - self.at, high - low)


@dataclass(frozen=True)
class Excerpt:
    """A text and its pieces, in order. What no piece covers is not of the answer."""

    text: str
    pieces: tuple[Piece, ...] = ()

    @classmethod
    def of(cls, source: str, ranges: Iterable[tuple[int, int]]) -> Excerpt:
        """Slices [start, end) of a source, one behind the other."""
        return sum((cls.slice(source, start, end) for start, end in ranges), cls(""))

    @classmethod
    def slice(cls, source: str, start: int, end: int) -> Excerpt:
        """One slice [start, end) of a source."""
        return cls(source[start:end], (Piece(0, start, end - start),))

    def __add__(self, other: Excerpt) -> Excerpt:
        """Both, and neighbours in the answer as one piece."""
        pieces = list(self.pieces)
        for at, source, length in other.pieces:
            piece = Piece(at + len(self.text), source, length)
            if pieces and _follows(pieces[-1], piece):
                piece = Piece(*pieces[-1][:2], pieces[-1].length + length)
                pieces.pop()
            pieces.append(piece)
        return Excerpt(self.text + other.text, tuple(pieces))

    def cut(self, start: int, end: int) -> Excerpt:
        """Its characters [start, end)."""
        parts = (piece.within(start, end) for piece in self.pieces)
        pieces = tuple(part._replace(at=part.at - start) for part in parts if part.length > 0)
        return Excerpt(self.text[start:end], pieces)

    def moved(self, by: int) -> Excerpt:
        """The same text of a source with ``by`` characters more in front."""
        pieces = tuple(Piece(at, source + by, length) for at, source, length in self.pieces)
        return Excerpt(self.text, pieces)


def _follows(one: Piece, other: Piece) -> bool:
    return (one.at + one.length, one.source + one.length) == (other.at, other.source)
