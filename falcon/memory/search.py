"""Search: which experiences to recall for a task, out of the texts that are near it.

Top-k by cosine (eq. 6) under the conditions of a recall: a least similarity, a least score,
problems left out, the same task left out, and diversity. Experiences of a held-out split
never come back, whatever was stored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from falcon.memory.encoder import Vectors
from falcon.memory.experience import Experience
from falcon.memory.index import VectorIndex
from falcon.memory.metadata import Catalog
from falcon.problems.problem import HELD_OUT

TIE_MARGIN = 16
"""Texts fetched beyond those needed, so that ties at the cut are settled by order."""
POOL = 4
"""With diversity, so many times k experiences are chosen from."""

Near = list[tuple[int, float]]
"""Texts by number with their cosine, best first."""


class Hit(NamedTuple):
    """A recalled experience and its cosine similarity to the task, in [-1, 1]."""

    experience: Experience
    similarity: float


class _Candidate(NamedTuple):
    number: int
    text: int
    cosine: float


def same_task(one: str, other: str) -> bool:
    """Whether two statements are the same words, whatever their spaces and case."""
    return one.split() == other.split() or one.casefold().split() == other.casefold().split()


@dataclass(frozen=True)
class Search:
    """One recall over an index and the catalog of its memory."""

    index: VectorIndex
    catalog: Catalog
    read: Callable[[int], Experience]
    k: int
    min_similarity: float
    min_score: float | None = None
    diversity: float = 0.0
    left_out: Collection[int] = ()
    unseen: bool = False
    passing: bool = False
    """Programs that passed only, and one a task: the first there was, which is the reference where
    the memory was seeded with it."""

    def hits(self, tasks: Sequence[str], queries: Vectors) -> list[list[Hit]]:
        """The experiences for each task; ``queries`` [n, dim] are phi of the tasks."""
        if not 0 <= self.diversity < 1:
            raise ValueError(f"diversity must be in [0, 1), not {self.diversity}")
        found: dict[int, list[Hit]] = {}
        n = self._pool + TIE_MARGIN
        asked = list(range(len(tasks)))
        while asked:
            near = self.index.nearest(queries[asked], n)
            short = []
            for number, texts in zip(asked, near, strict=True):
                chosen = self._candidates(tasks[number], texts)
                beyond = len(texts) == n and texts[-1][1] >= self.min_similarity
                if len(chosen) < self._pool and beyond:
                    short.append(number)  # too much was left out: look further
                else:
                    found[number] = self._chosen(chosen)
            asked, n = short, 4 * n
        return [found[number] for number in range(len(tasks))]

    @property
    def _pool(self) -> int:
        return self.k * POOL if self.diversity else self.k

    @property
    def _of_text(self) -> int:
        """How many experiences of one text may be candidates."""
        return 1 if self.diversity or self.passing else self._pool

    def _candidates(self, task: str, near: Near) -> list[_Candidate]:
        """At most ``_pool`` experiences that may be recalled, best first, then in log order."""
        ranked: list[tuple[float, int, int, float]] = []
        for text, cosine in near:
            if cosine < self.min_similarity:
                break
            if self.unseen and same_task(self.read(self.catalog.first[text]).task, task):
                continue
            ranked += [
                (-round(cosine, 6), number, text, cosine)
                for number in islice(self._allowed(text), self._of_text)
            ]
        ranked.sort()
        return [_Candidate(number, text, c) for _, number, text, c in ranked[: self._pool]]

    def _allowed(self, text: int) -> Iterator[int]:
        scores = self.catalog.scores
        for number in self.catalog.of_text(text):
            if number in self.left_out or (self.passing and not self.catalog.passed[number]):
                continue
            if self.min_score is None or scores[number] >= self.min_score:
                yield number

    def _chosen(self, candidates: list[_Candidate]) -> list[Hit]:
        chosen = self._diverse(candidates) if self.diversity else candidates[: self.k]
        hits = [Hit(self.read(c.number), min(1.0, c.cosine)) for c in chosen]
        for hit in hits:
            if hit.experience.split in HELD_OUT:
                raise ValueError(f"{hit.experience.problem_id} is held out and was recalled")
        return hits

    def _diverse(self, candidates: list[_Candidate]) -> list[_Candidate]:
        """Maximal marginal relevance: near the task, and unlike what was chosen before it.

        The candidates have a text each: two of the same text could not be more alike.
        """
        if not candidates:
            return []
        ids = self.catalog.text_ids
        rows = self.index.vectors.take([ids[c.text] for c in candidates]).astype(np.float64)
        relevance = np.array([c.cosine for c in candidates])
        taken: list[int] = []
        likeness = np.full(len(candidates), -1.0)
        while len(taken) < min(self.k, len(candidates)):
            worth = (1 - self.diversity) * relevance - self.diversity * likeness
            worth[taken] = -np.inf
            best = int(np.argmax(np.round(worth, 6)))
            taken.append(best)
            likeness = np.maximum(likeness, rows @ rows[best])
        return [candidates[i] for i in sorted(taken)]
