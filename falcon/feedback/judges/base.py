"""Judge: the interface of all judges, and the scores they give."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class QualityScores:
    """A judge's scores of one program: two values in [-1, 2], each with its reason."""

    style: float
    complexity: float
    style_reason: str = ""
    complexity_reason: str = ""


class Judge(Protocol):
    """Anything that scores programs. Name and version are recorded with the scores."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def score(self, program: str, reference: str = "") -> QualityScores | None:
        """Scores of a program; ``reference`` is a correct solution or "". None: the judge gave no
        usable answer, so style and complexity have no value."""
        ...

    def prepare(self, programs: Sequence[tuple[str, str]]) -> None:
        """Judge these (program, reference) pairs at once, before they are scored one by one."""
        ...
