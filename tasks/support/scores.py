"""Scores: ``scores.json`` of the benchmark stage, as the gate and the run's report read it.

The layout is ``falcon.evaluation.scores``'; here is only what decisions need of it. A figure is
None when nothing was judged, and a decision that needs it refuses.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from falcon.errors import UserError
from falcon.evaluation.intervals import Interval
from tasks.support.files import read_json

POOLED = "pooled"


def _unnamed(tree: Any) -> Any:
    """Give an interval's middle the name ``value``; None for an interval of nothing."""
    if not isinstance(tree, dict):
        return tree
    names = {"value": "value", "mean": "value", "difference": "value", "low": "low", "high": "high"}
    figures = {names[key]: figure for key, figure in tree.items() if key in names}
    return None if None in figures.values() else figures


Figure = Annotated[Interval | None, BeforeValidator(_unnamed)]


def figure_text(figure: Interval | None) -> str:
    """The figure with its interval, in words for the gate's reasons."""
    if figure is None:
        return "unknown"
    return f"{figure.value:+.3f} [{figure.low:+.3f}, {figure.high:+.3f}]"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SuiteScore(_Record):
    """One policy on one suite. ``verdicts`` are shares of the classes of eq. 7, ``truncated`` that
    of answers which the length limit cut."""

    problems: int
    pass_at_1: Figure = Field(validation_alias="pass@1")
    reward: Figure
    style: Figure
    complexity: Figure
    verdicts: dict[str, float | None]
    truncated: float | None = None

    @property
    def cut_text(self) -> str:
        """The share of answers that the length limit cut."""
        return "unknown" if self.truncated is None else f"{self.truncated:.1%}"


class SuiteDifference(_Record):
    """Paired differences, first policy minus second."""

    pass_rate: Figure
    reward: Figure
    style: Figure
    complexity: Figure


class BenchmarkScores(_Record):
    """All of ``scores.json``: by policy and suite, and by comparison and suite."""

    policies: dict[str, dict[str, SuiteScore]]
    comparisons: dict[str, dict[str, SuiteDifference]]

    @model_validator(mode="before")
    @classmethod
    def _suites_only(cls, tree: Any) -> Any:
        if isinstance(tree, dict) and isinstance(tree.get("policies"), dict):
            suites = {name: policy.get("suites", {}) for name, policy in tree["policies"].items()}
            return {**tree, "policies": suites}
        return tree

    def against(self, opponent: str) -> dict[str, SuiteDifference]:
        """Differences of the trained policy and ``opponent``, by suite and pooled."""
        differences = self.comparisons.get(f"trained-{opponent}")
        if not differences or POOLED not in differences:
            raise UserError(
                f"scores.json has no pooled comparison `trained-{opponent}`.",
                hint="Run the benchmark stage again: dvc repro -f -s benchmark.",
            )
        return differences


def read_scores(file: Path) -> BenchmarkScores:
    """Read ``scores.json``. Raises UserError when it is absent or of another layout."""
    tree = read_json(file, hint="Run `dvc repro benchmark`.")
    try:
        return BenchmarkScores.model_validate(tree)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{file}: `{where}`: {first['msg']}.") from None
