"""Stage summary: what came out of a stage, in the two or three figures that matter."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from typing import Any

from falcon.evaluation.intervals import Interval
from falcon.monitor.moving_mean import WINDOW
from tasks.support.files import read_json
from tasks.support.provenance import read_gate
from tasks.support.scores import read_scores
from tasks.support.workspace import Workspace

NAMED = 2
"""Conditions of the gate, and warnings of checks, that are named; the others are counted."""


def stage_lines(space: Workspace, stage: str) -> list[str]:
    """The first line fits beside a stage's name and time on most terminals."""
    metrics = read_json(space.output(stage) / "metrics.json")
    warnings = read_json(space.output(stage) / "checks.json")["warnings"]
    told = [f"warning: {text}" for text in warnings[:NAMED]]
    more = len(warnings) - len(told)
    return [*_LINES[stage](space, metrics), *told, *([f"{more} more warnings"] if more else [])]


def _prepare(space: Workspace, metrics: Mapping[str, Any]) -> list[str]:
    from falcon.problems.problem import Split

    splits = [f"{metrics[s.value]} {s.value}" for s in Split if metrics.get(s.value)]
    return [f"{metrics['problems']} problems: {', '.join(splits)}"]


def _seed(space: Workspace, metrics: Mapping[str, Any]) -> list[str]:
    made, before = metrics["demonstrations"], metrics["carried_over"]
    earlier = f", {before:.0f} from earlier runs" if before else ""
    return [f"memory of {metrics['experiences']:.0f}: {made:.0f} demonstrations{earlier}"]


def _rollout(space: Workspace, metrics: Mapping[str, Any]) -> list[str]:
    import pyarrow.parquet as pq

    programs = pq.read_metadata(space.output("rollout") / "rollouts.parquet").num_rows
    return [f"{programs} programs, {_share(metrics['pass_rate'])} passed, reward "
            f"{metrics['reward/tests']:.2f}"]  # fmt: skip


def _train(space: Workspace, metrics: Mapping[str, Any]) -> list[str]:
    """Means of the first and the last steps: single ones have other tasks and jump."""
    with (space.output("train") / "curves.csv").open(encoding="utf-8", newline="") as file:
        steps = list(csv.DictReader(file))
    wide = max(1, min(WINDOW, len(steps) // 2))

    def mean(name: str, rows: list[dict[str, str]]) -> float:
        return sum(float(row[name]) for row in rows) / max(1, len(rows))

    (reward, later), (passed, last) = (
        (mean(name, steps[:wide]), mean(name, steps[-wide:]))
        for name in ("reward/tests", "verdict/pass")
    )
    text = f"{len(steps)} steps, reward {reward:.2f} to {later:.2f}"
    means = f"(means of the first and the last {wide})" if wide > 1 else "(first and last step)"
    return [f"{text}, passed {_share(passed)} to {_share(last)} {means}"]


def _benchmark(space: Workspace, metrics: Mapping[str, Any]) -> list[str]:
    scores = read_scores(space.output("benchmark") / "scores.json")
    policies = {"base": "untrained", "champion": "in service", "trained": "trained"}
    present = {name: said for name, said in policies.items() if name in scores.policies}
    confidence = 100 * float(read_json(space.output("benchmark") / "scores.json")["confidence"])
    lines = [f"pass@1 [{confidence:.3g} % interval]: {', '.join(present.values())}"]
    for suite in scores.policies["trained"]:
        figures = [
            _interval(score.pass_at_1)
            for name in present
            if (score := scores.policies[name].get(suite)) is not None
        ]
        lines.append(f"{suite}: {', '.join(figures)}")
    return lines


def _gate(space: Workspace, metrics: Mapping[str, Any]) -> list[str]:
    return [decision_text(read_gate(space))]


def decision_text(decision: Mapping[str, Any]) -> str:
    """The gate's decision with why, in one sentence."""
    reasons = decision["reasons"]
    against = [f"{r['name']} {r['said']}" for r in reasons if not r["passed"]]
    version = decision["opponent"]["version"]
    opponent = f"version {version}" if version else "the untrained model"
    if not against:
        metric = next((r for r in reasons if " against " in r["name"]), None)
        figure = f"; {metric['name']} {metric['said']}" if metric else ""
        return f"passed against {opponent}: all {len(reasons)} conditions hold{figure}"
    more = f"; and {len(against) - NAMED} more" if len(against) > NAMED else ""
    return f"refused against {opponent}: {'; '.join(against[:NAMED])}{more}"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _interval(figure: Interval | None) -> str:
    if figure is None:
        return "unknown"
    return f"{100 * figure.value:.1f} % [{100 * figure.low:.1f}, {100 * figure.high:.1f}]"


_LINES: dict[str, Callable[[Workspace, Mapping[str, Any]], list[str]]] = {
    "prepare": _prepare,
    "seed": _seed,
    "rollout": _rollout,
    "train": _train,
    "benchmark": _benchmark,
    "gate": _gate,
}
