"""Run report: what a pipeline run came to, as data, in Markdown and for the terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from falcon.evaluation.intervals import Interval
from falcon.monitor.console import print_plain
from falcon.monitor.work import clock
from tasks.support.files import read_json
from tasks.support.scores import BenchmarkScores, figure_text, read_scores
from tasks.support.tracking import TrackedRun
from tasks.support.workspace import Workspace

KINDS = {
    "load": "model loading",
    "memory_check": "memory check",
    "generate": "generation",
    "execute": "execution",
    "embed": "memory and feedback",
    "recall": "memory and feedback",
    "feedback": "memory and feedback",
    "log": "records and checkpoints",
}
"""Kinds of work that stages time (metrics ``time/KIND``), as named here; the rest is training."""

POLICIES = ("base", "champion", "trained")


@dataclass(frozen=True)
class StageOutcome:
    """What became of one stage; ``how``: "ran", "up to date" or "restored".

    ``run_id`` is the MLflow run that made its results, ``times`` seconds by kind of work if it ran.
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


def show(space: Workspace, result: PipelineResult, out: Console, *, full: bool = False) -> None:
    """What became of the model, what the time went to, where to look and what to do next.

    ``full``: also the tables of scores and times, and every condition of the gate.
    """
    out.print()
    if full:
        out.print(score_table(read_scores(space.output("benchmark") / "scores.json")))
        out.print(time_table(result))
        _print_reasons(out, result)
    serves = f"Version {result.version} is in service (alias champion)."
    waits = f"Version {result.version} is registered as challenger, not in service"
    why = f": {result.why_not}" if result.why_not else "."
    _say(out, serves if result.promoted else waits + why, "bold")
    _say(out, f"{clock(result.seconds)} in all; {share_line(result)}")
    _say(out, "")
    again = 'falcon generate "TASK"' if result.promoted else "falcon run -v: every condition"
    for name, text in (
        ("report", "state/run_report.html, outputs/benchmark/report.html"),
        ("data docs", "state/data_docs/prepare/index.html"),
        ("next", "falcon ui: runs, plots and models (MLflow on http://127.0.0.1:5000)"),
        ("", again),
    ):
        _say(out, f"  {name:<9}  {text}")


def _say(out: Console, text: str, style: str = "") -> None:
    """A line that a terminal wraps between words, and a log not at all."""
    out.print(text, style=style, markup=False, highlight=False, soft_wrap=not out.is_terminal)


def _number(figure: Interval | None) -> str:
    return "-" if figure is None else f"{figure.value:.3f}"


def score_table(scores: BenchmarkScores) -> Table:
    """Policies side by side on every suite."""
    table = Table(title="Benchmarks", title_justify="left")
    for name in (
        "suite", "policy", "pass@1 (interval)", "reward", "style", "complexity", "cut", "verdicts",
    ):  # fmt: skip
        table.add_column(name)
    for row in score_rows(scores):
        if row[0] and table.row_count:
            table.add_section()
        table.add_row(*row)
    return table


def score_rows(scores: BenchmarkScores) -> list[tuple[str, ...]]:
    """The cells of the table of scores; the first one names a suite at its first policy only."""
    rows: list[tuple[str, ...]] = []
    present = [p for p in POLICIES if p in scores.policies]
    for suite in scores.policies["trained"]:
        for policy in present:
            if (score := scores.policies[policy].get(suite)) is None:
                continue
            rows.append(
                (
                    f"{suite} ({score.problems})" if policy == present[0] else "",
                    policy,
                    figure_text(score.pass_at_1).replace("+", ""),
                    *map(_number, (score.reward, score.style, score.complexity)),
                    score.cut_text,
                    ", ".join(f"{n} {share:.0%}" for n, share in score.verdicts.items() if share),
                )
            )
    return rows


def shares(result: PipelineResult) -> dict[str, float]:
    """Seconds by kind of work.

    ``work_s`` is what a stage's own function took, whatever started it; what of it no kind of work
    explains are data, checks and reports. The rest of the flow's time is orchestration: Prefect,
    DVC, MLflow, and processes that start and end.
    """
    kinds: dict[str, float] = {}
    for kind, seconds in ((k, s) for each in result.stages for k, s in each.times.items()):
        if kind.endswith("_s"):  # a total of its own, not a kind of work
            continue
        name = KINDS.get(kind, "training")
        kinds[name] = kinds.get(name, 0.0) + float(seconds)
    timed = sum(kinds.values())
    work = max(timed, sum(each.times.get("work_s", 0.0) for each in result.stages))
    orchestration = max(0.0, result.seconds - work)
    return {**kinds, "data, checks and reports": work - timed, "orchestration": orchestration}


def time_table(result: PipelineResult) -> Table:
    """Time of each stage."""
    table = Table(title=f"Time: {result.seconds:.0f} s in all", title_justify="left")
    for name in ("stage", "", "seconds"):
        table.add_column(name, justify="right" if name == "seconds" else "left")
    for outcome in result.stages:
        table.add_row(outcome.stage, outcome.how, f"{outcome.seconds:.1f}")
    return table


def share_line(result: PipelineResult) -> str:
    """What the time went to, the largest share first."""
    total = max(result.seconds, 1e-9)
    ordered = sorted(shares(result).items(), key=lambda each: -each[1])
    return "time went to: " + ", ".join(
        f"{kind} {s / total:.0%}" for kind, s in ordered if s / total >= 0.005
    )


def _print_reasons(out: Console, result: PipelineResult) -> None:
    decision, opponent = result.decision["decision"], result.decision["opponent"]
    against = f"version {opponent['version']}" if opponent["version"] else "the untrained model"
    style = "bold green" if decision == "passed" else "bold yellow"
    out.print(f"\nGate: {decision} (against {against})", style=style)
    for reason in result.decision["reasons"]:
        mark, colour = ("ok", "green") if reason["passed"] else ("no", "red")
        print_plain(out, f"  {mark}  {reason['name']}: {reason['said']}", colour)
