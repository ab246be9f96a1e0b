"""Search: which experiences to recall for a task, out of the texts that are near it.

Top-k by cosine (eq. 6) under the conditions of a :class:`RecallQuery`. Experiences of a held-out
split are never returned, whatever was stored.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from falcon.memory.encoder import Vectors
from falcon.memory.experience import Experience
from falcon.memory.index import VectorIndex
from falcon.memory.metadata import Metadata
from falcon.problems.problem import HELD_OUT

TIE_MARGIN = 16
"""Texts fetched beyond those needed, so that of equal ones at the cut the earliest are found."""
POOL = 4
"""With diversity, k experiences are chosen from POOL * k candidates."""

Near = list[tuple[int, float]]
"""Pairs of text number and cosine, best first."""


class Hit(NamedTuple):
    """A recalled experience and its cosine similarity to the task, in [-1, 1]."""

    experience: Experience
    similarity: float


class _Candidate(NamedTuple):
    number: int
    text: int
    cosine: float


def same_task(one: str, other: str) -> bool:
    """Whether two statements have the same words, ignoring white space and case."""
    return one.split() == other.split() or one.casefold().split() == other.casefold().split()


@dataclass(frozen=True)
class RecallQuery:
    """The conditions of a recall: how many experiences, and which may come back."""

    k: int
    min_similarity: float
    """Least cosine to the task."""
    exclude: Collection[str] = ()
    """Ids of problems that are left out."""
    min_score: float | None = None
    diversity: float = 0.0
    """Above 0: prefer experiences unlike each other (maximal marginal relevance). Below 1."""
    unseen: bool = False
    """Leave out experiences of the very same task, whatever its problem is called."""
    passing: bool = False
    """Only programs that passed, one a task: the first there was, which is the reference where
    the memory was seeded with it."""

    def __post_init__(self) -> None:
        if not 0 <= self.diversity < 1:
            raise ValueError(f"diversity must be in [0, 1), not {self.diversity}")


@dataclass(frozen=True)
class Search:
    """One recall over an index and the metadata of its memory; ``read`` reads an experience."""

    index: VectorIndex
    metadata: Metadata
    read: Callable[[int], Experience]
    query: RecallQuery
    left_out: Collection[int] = ()
    """The experiences of the problems that the query excludes, by number."""

    def hits(self, tasks: Sequence[str], queries: Vectors) -> list[list[Hit]]:
        """The experiences for each task; ``queries`` [n, dim] are phi of the tasks."""
        hits: dict[int, list[Hit]] = {}
        n = self._pool + TIE_MARGIN
        pending = list(range(len(tasks)))
        while pending:
            near = self.index.nearest(queries[pending], n)
            unfilled = []
            for number, texts in zip(pending, near, strict=True):
                candidates = self._candidates(tasks[number], texts)
                more = len(texts) == n and texts[-1][1] >= self.query.min_similarity
                if len(candidates) < self._pool and more:
                    unfilled.append(number)  # too many were left out: look further
                else:
                    hits[number] = self._chosen(candidates)
            pending, n = unfilled, 4 * n
        return [hits[number] for number in range(len(tasks))]

    @property
    def _pool(self) -> int:
        return self.query.k * POOL if self.query.diversity else self.query.k

    @property
    def _of_text(self) -> int:
        """How many experiences of one text may be candidates: with diversity equal texts add
        nothing, and ``passing`` wants one program a task."""
        return 1 if self.query.diversity or self.query.passing else self._pool

    def _candidates(self, task: str, near: Near) -> list[_Candidate]:
        """At most ``_pool`` experiences that may be recalled, best first, then in log order."""
        ranked: list[tuple[float, int, int, float]] = []
        for text, cosine in near:
            if cosine < self.query.min_similarity:
                break  # best first: no later text is nearer
            if self.query.unseen and same_task(self.read(self.metadata.first[text]).task, task):
                continue
            ranked += [  # cosines equal to six digits are ties, which the number decides
                (-round(cosine, 6), number, text, cosine)
                for number in islice(self._allowed(text), self._of_text)
            ]
        ranked.sort()
        return [_Candidate(number, text, c) for _, number, text, c in ranked[: self._pool]]

    def _allowed(self, text: int) -> Iterator[int]:
        scores = self.metadata.scores
        for number in self.metadata.of_text(text):
            if number in self.left_out or (self.query.passing and not self.metadata.passed[number]):
                continue
            if self.query.min_score is None or scores[number] >= self.query.min_score:
                yield number

    def _chosen(self, candidates: list[_Candidate]) -> list[Hit]:
        chosen = self._diverse(candidates) if self.query.diversity else candidates[: self.query.k]
        hits = [Hit(self.read(c.number), min(1.0, c.cosine)) for c in chosen]  # rounding: > 1
        for hit in hits:
            if hit.experience.split in HELD_OUT:
                raise ValueError(f"{hit.experience.problem_id} is held out and was recalled")
        return hits

    def _diverse(self, candidates: list[_Candidate]) -> list[_Candidate]:
        """Maximal marginal relevance: each choice is near the task and unlike earlier choices.

        The candidates have different texts (:attr:`_of_text`). Returned in their order.
        """
        if not candidates:
            return []
        ids = self.metadata.text_ids
        rows = self.index.vectors.take([ids[c.text] for c in candidates])  # [candidates, dim]
        rows64 = rows.astype(np.float64)
        relevance = np.array([c.cosine for c in candidates])
        picked: list[int] = []
        likeness = np.full(len(candidates), -1.0)  # greatest cosine to a choice so far
        while len(picked) < min(self.query.k, len(candidates)):
            worth = (1 - self.query.diversity) * relevance - self.query.diversity * likeness
            worth[picked] = -np.inf
            best = int(np.argmax(np.round(worth, 6)))  # the first of equal ones
            picked.append(best)
            likeness = np.maximum(likeness, rows64 @ rows64[best])
        return [candidates[i] for i in sorted(picked)]
