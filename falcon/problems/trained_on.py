"""Trained on: which problems a model and those it descends from have learnt from.

A problem may move from training to a held-out split when data change, and a model trained before
has seen it all the same. So a score counts only problems that no ancestor was trained on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from falcon.problems.problem import Problem, Split


@dataclass(frozen=True)
class TrainedOn:
    """Problems by id, and by the digest of their statements: another set may have them, too."""

    ids: frozenset[str] = frozenset()
    statements: frozenset[str] = frozenset()

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> TrainedOn:
        """All but those of the test split: validation problems choose the final weights."""
        used = [p for p in problems if p.split is not Split.TEST]
        return cls(
            frozenset(p.id for p in used), frozenset(statement_digest(p.statement) for p in used)
        )

    def __or__(self, other: TrainedOn) -> TrainedOn:
        return TrainedOn(self.ids | other.ids, self.statements | other.statements)

    def __contains__(self, problem: Problem) -> bool:
        return problem.id in self.ids or statement_digest(problem.statement) in self.statements

    def as_json(self) -> dict[str, list[str]]:
        """As stored: sorted, so that equal sets are equal files."""
        return {"ids": sorted(self.ids), "statements": sorted(self.statements)}

    @classmethod
    def from_json(cls, tree: Any) -> TrainedOn:
        """From what :meth:`as_json` gave."""
        return cls(frozenset(tree["ids"]), frozenset(tree["statements"]))


def statement_digest(text: str) -> str:
    """16 hex digits of a statement's words; spacing, signs and upper case do not count."""
    words = " ".join(re.findall(r"\w+", text.lower()))
    return hashlib.sha256(words.encode()).hexdigest()[:16]
