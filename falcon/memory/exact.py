"""Exact search: cosines with every vector, by numpy, in RAM.

Used for the newest vectors, which the approximate index does not hold yet; by a process that
may not open that index; and as the reference that the index is measured against.
"""

import numpy as np
import numpy.typing as npt

from falcon.memory.encoder import Vectors

ROWS = 65_536
"""Vectors compared at once: bounds the RAM of a search and does not change its result."""
BLOCK = 64  # cosines of which :func:`_bound` takes the maximum

Nearest = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
"""Row numbers and cosines of one query, best first."""


class Matrix:
    """A growing matrix of unit vectors, float32 [n, dim]."""

    def __init__(self, dim: int) -> None:
        self._rows = np.empty((0, dim), np.float32)
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def add(self, rows: Vectors) -> None:
        """Append vectors."""
        total = self._n + len(rows)
        if total > len(self._rows):
            # Grow by half, so that adding n rows one by one copies O(n), not O(n^2).
            grown = np.empty((max(total, 3 * len(self._rows) // 2), rows.shape[1]), np.float32)
            grown[: self._n] = self._rows[: self._n]
            self._rows = grown
        self._rows[self._n : total] = rows
        self._n = total

    def clear(self) -> None:
        """Drop all vectors and their RAM."""
        self._rows, self._n = self._rows[:0].copy(), 0  # a view would keep the memory

    def nearest(self, queries: Vectors, n: int) -> list[Nearest]:
        """The ``n`` rows of the greatest cosine for each query; equal cosines by row."""
        n = min(n, self._n)
        best: list[Nearest] = [(np.zeros(0, np.int64), np.zeros(0, np.float32))] * len(queries)
        for start in range(0, self._n if n else 0, ROWS):
            cosines = queries @ self._rows[start : min(start + ROWS, self._n)].T  # [queries, rows]
            for number, row in enumerate(cosines):
                best[number] = _merge(best[number], start, row, n)
        return best


def _merge(best: Nearest, start: int, cosines: npt.NDArray[np.float32], n: int) -> Nearest:
    """The ``n`` best of ``best`` and of a block of ``cosines`` whose first row is ``start``."""
    if len(best[0]) == n:
        least = best[1][-1]
        near = np.flatnonzero(cosines > least)  # blocks come in order: on a tie the earlier stays
    else:
        near = np.flatnonzero(cosines >= _bound(cosines, n))
    if len(near) > n:
        cut = np.partition(cosines[near], len(near) - n)[len(near) - n]  # the n-th greatest
        near = near[cosines[near] >= cut]  # ties at the cut stay: the sort below decides by row
    rows = np.concatenate([best[0], near + start])
    values = np.concatenate([best[1], cosines[near]])
    order = np.lexsort((rows, -values))[:n]  # the last key is the primary one
    return rows[order], values[order]


def _bound(cosines: npt.NDArray[np.float32], n: int) -> float:
    """A bound that at least ``n`` cosines reach: the n-th greatest of the maxima of blocks.

    Much cheaper than the n-th greatest cosine itself, and nearly as tight.
    """
    blocks = len(cosines) // BLOCK
    if blocks < n:
        return -np.inf  # too few maxima: every row is a candidate
    greatest = cosines[: blocks * BLOCK].reshape(blocks, BLOCK).max(axis=1)
    return float(np.partition(greatest, blocks - n)[blocks - n])
