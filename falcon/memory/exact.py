"""Exact search: cosines with every vector, by numpy, in RAM.

For the newest vectors, which the approximate index does not hold yet; for a process that
may not touch that index; and as what it is measured against.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from falcon.memory.encoder import Vectors

ROWS = 65_536
"""Vectors compared at once: bounds the RAM of a search, not its result."""

BLOCK = 64

Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
"""Row numbers and cosines of one query, best first."""


class Matrix:
    """A growing matrix of unit vectors, float32 [n, dim]."""

    def __init__(self, dim: int) -> None:
        self._rows = np.empty((0, dim), np.float32)
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def add(self, rows: Vectors) -> None:
        """Put vectors after those that are there."""
        wanted = self._n + len(rows)
        if wanted > len(self._rows):
            grown = np.empty((max(wanted, 3 * len(self._rows) // 2), rows.shape[1]), np.float32)
            grown[: self._n] = self._rows[: self._n]
            self._rows = grown
        self._rows[self._n : wanted] = rows
        self._n = wanted

    def clear(self) -> None:
        """Drop all vectors and their RAM."""
        self._rows, self._n = self._rows[:0].copy(), 0

    def nearest(self, queries: Vectors, n: int) -> list[Found]:
        """The ``n`` rows of the greatest cosine for each query; equal cosines by row."""
        n = min(n, self._n)
        best: list[Found] = [(np.zeros(0, np.int64), np.zeros(0, np.float32))] * len(queries)
        for start in range(0, self._n if n else 0, ROWS):
            cosines = queries @ self._rows[start : min(start + ROWS, self._n)].T
            for number, row in enumerate(cosines):
                best[number] = _merge(best[number], start, row, n)
        return best


def _merge(best: Found, start: int, cosines: npt.NDArray[np.float32], n: int) -> Found:
    if len(best[0]) == n:
        least = best[1][-1]
        near = np.flatnonzero(cosines > least)  # rows come in order: on a tie the earlier stays
    else:
        near = np.flatnonzero(cosines >= _bound(cosines, n))
    if len(near) > n:
        cut = np.partition(cosines[near], len(near) - n)[len(near) - n]
        near = near[cosines[near] >= cut]
    rows = np.concatenate([best[0], near + start])
    values = np.concatenate([best[1], cosines[near]])
    order = np.lexsort((rows, -values))[:n]
    return rows[order], values[order]


def _bound(cosines: npt.NDArray[np.float32], n: int) -> float:
    """What at least ``n`` of the cosines reach: the n-th greatest of the maxima of blocks.

    Much cheaper than the n-th greatest itself, and nearly as good to choose by.
    """
    blocks = len(cosines) // BLOCK
    if blocks < n:
        return -np.inf
    greatest = cosines[: blocks * BLOCK].reshape(blocks, BLOCK).max(axis=1)
    return float(np.partition(greatest, blocks - n)[blocks - n])
