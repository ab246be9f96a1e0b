"""Scores: ``scores.json`` of the benchmark stage, as the gate and the summary read it.

The one place that knows its layout::

    {"scores": {POLICY: {SUITE: {"n", "pass_rate": {"mean", "low", "high"}, "reward", "style",
                                 "complexity", "verdicts": {OUTCOME: share}}}},
     "comparisons": {"trained_vs_base": {SUITE or "pooled": {"pass_rate": INTERVAL,
                                                             "reward": INTERVAL}}}}
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from falcon.errors import UserError
from tasks.workspace import read_json

POOLED = "pooled"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Interval(_Record):
    """A mean with its confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


class Score(_Record):
    """One policy on one suite. ``pass_rate`` is pass@1; ``verdicts`` are shares."""

    n: int
    pass_rate: Interval
    reward: float | Interval
    style: float | None = None
    complexity: float | None = None
    verdicts: dict[str, float] = Field(default_factory=dict)


class Difference(_Record):
    """Paired difference, first minus second."""

    pass_rate: Interval
    reward: Interval


class Scores(_Record):
    """All of ``scores.json``: by policy and suite, and by comparison and suite."""

    policies: dict[str, dict[str, Score]] = Field(alias="scores")
    comparisons: dict[str, dict[str, Difference]]

    def against(self, opponent: str) -> dict[str, Difference]:
        """Differences of the trained policy and ``opponent``, by suite and pooled."""
        found = self.comparisons.get(f"trained_vs_{opponent}")
        if not found or POOLED not in found:
            raise UserError(
                f"scores.json has no pooled comparison `trained_vs_{opponent}`.",
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
