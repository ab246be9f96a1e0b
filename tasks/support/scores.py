"""Scores: ``scores.json`` of the benchmark stage, as the gate and the summary read it.

The layout is ``falcon.evaluation.scores``'; here is only what decisions need of it. A figure
that is absent (nothing was judged) stays absent: a decision that needs it says no.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from falcon.errors import UserError
from tasks.support.workspace import read_json

POOLED = "pooled"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Interval(_Record):
    """A figure with its confidence interval; all None when nothing was judged."""

    value: float | None = Field(validation_alias=AliasChoices("value", "mean", "difference"))
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return "unknown"
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


class Score(_Record):
    """One policy on one suite. ``verdicts`` are shares of the classes of eq. 7."""

    problems: int
    pass_at_1: Interval = Field(validation_alias="pass@1")
    reward: Interval
    style: Interval
    complexity: Interval
    verdicts: dict[str, float | None]


class Difference(_Record):
    """Paired differences, first policy minus second."""

    pass_rate: Interval
    reward: Interval
    style: Interval
    complexity: Interval


class Scores(_Record):
    """All of ``scores.json``: by policy and suite, and by comparison and suite."""

    policies: dict[str, dict[str, Score]]
    comparisons: dict[str, dict[str, Difference]]

    @model_validator(mode="before")
    @classmethod
    def _suites_only(cls, tree: Any) -> Any:
        if isinstance(tree, dict) and isinstance(tree.get("policies"), dict):
            suites = {p: known.get("suites", {}) for p, known in tree["policies"].items()}
            return {**tree, "policies": suites}
        return tree

    def against(self, opponent: str) -> dict[str, Difference]:
        """Differences of the trained policy and ``opponent``, by suite and pooled."""
        found = self.comparisons.get(f"trained-{opponent}")
        if not found or POOLED not in found:
            raise UserError(
                f"scores.json has no pooled comparison `trained-{opponent}`.",
                hint="Run the benchmark stage again: dvc repro -f -s benchmark.",
            )
        return found


def read_scores(file: Path) -> Scores:
    """Read ``scores.json``. Raises UserError when it is absent or of another layout."""
    tree = read_json(file, hint="Run `dvc repro benchmark`.")
    try:
        return Scores.model_validate(tree)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{file}: `{where}`: {first['msg']}.") from None
