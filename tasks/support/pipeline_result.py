"""Pipeline result: what the stages and the decision of a flow came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tasks.support.files import read_json
from tasks.support.tracking import TrackedRun


@dataclass(frozen=True)
class StageOutcome:
    """What became of one stage: ``how`` says whether it ran ("ran", "up to date", "restored").

    ``run_id`` is the MLflow run that made its results, ``times`` seconds by kind of work if it
    ran now.
    """

    stage: str
    how: str
    seconds: float
    run_id: str = ""
    times: dict[str, float] = field(default_factory=dict)

    def record(self, parent: TrackedRun) -> StageOutcome:
        """Log the stage's metrics, and how and by which run it was made, on ``parent``."""
        metrics = read_json(parent.tracker.space.output(self.stage) / "metrics.json")
        numbers = {k: v for k, v in metrics.items() if isinstance(v, (int, float))}
        logged = {f"{self.stage}/{k}": v for k, v in numbers.items()}
        parent.metrics({**logged, f"time/{self.stage}": self.seconds})
        parent.tags({f"stage.{self.stage}": self.how, f"run.{self.stage}": self.run_id})
        return self


@dataclass(frozen=True)
class PipelineResult:
    """A whole run. ``decision`` is the content of ``gate.json``, ``seconds`` are the flow's."""

    stages: tuple[StageOutcome, ...]
    decision: dict[str, Any]
    version: str
    promoted: bool
    why_not: str
    seconds: float

    def summary(self) -> str:
        """The result in Markdown, for Prefect's page."""
        rows = [f"| {each.stage} | {each.how} | {each.seconds:.0f} s |" for each in self.stages]
        reasons = [
            f"- {'ok' if r['passed'] else '**no**'}: {r['name']}: {r['said']}"
            for r in self.decision["reasons"]
        ]
        head = f"## Gate: {self.decision['decision']}, version {self.version}"
        state = "promoted" if self.promoted else "not promoted"
        table = "| stage |  | time |\n|---|---|---|\n" + "\n".join(rows)
        return f"{head} ({state})\n\n{table}\n\n" + "\n".join(reasons)
