"""Report: what a pipeline run came to, for the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from tasks.support.scores import Interval, Score, Scores, read_scores
from tasks.support.workspace import Workspace

KINDS = {
    "load": "model loading",
    "generate": "generation",
    "execute": "execution",
    "embed": "memory and feedback",
    "recall": "memory and feedback",
    "feedback": "memory and feedback",
    "log": "records and checkpoints",
}
"""Work that stages time by themselves (metrics ``time/KIND``) and its name; others are training."""

POLICIES = ("base", "champion", "trained")


def show(space: Workspace, result: dict[str, Any], console: Console | None = None) -> None:
    """Print scores, times, the decision with its reasons, and where to look further."""
    out = console or Console()
    out.print()
    out.print(score_table(read_scores(space.output("benchmark") / "scores.json")))
    out.print(time_table(result))
    out.print(share_line(result), highlight=False, soft_wrap=True)
    _decision(out, result)
    _places(out, space)


def _number(figure: Interval) -> str:
    return "-" if figure.value is None else f"{figure.value:.3f}"


def _mix(score: Score) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in score.verdicts.items() if share)


def score_table(scores: Scores) -> Table:
    """Policies side by side on every suite."""
    table = Table(title="Benchmarks", title_justify="left")
    for name in (
        "suite",
        "policy",
        "pass@1 (interval)",
        "reward",
        "style",
        "complexity",
        "verdicts",
    ):
        table.add_column(name)
    present = [p for p in POLICIES if p in scores.policies]
    for suite in scores.policies["trained"]:
        for policy in present:
            score = scores.policies[policy].get(suite)
            if score is None:
                continue
            figures = (score.reward, score.style, score.complexity)
            table.add_row(
                f"{suite} ({score.problems})" if policy == present[0] else "",
                policy,
                str(score.pass_at_1).replace("+", ""),
                *(_number(value) for value in figures),
                _mix(score),
                end_section=policy == present[-1],
            )
    return table


def shares(result: dict[str, Any]) -> dict[str, float]:
    """Seconds by kind of work; what no stage timed (loading, data, MLflow, DVC) is orchestration."""
    kinds: dict[str, float] = {}
    for told in result["stages"].values():
        for kind, seconds in told["time"].items():
            if kind.endswith("_s"):  # a total of its own, not a kind of work
                continue
            name = KINDS.get(kind, "training")
            kinds[name] = kinds.get(name, 0.0) + float(seconds)
    return {**kinds, "orchestration": max(0.0, result["seconds"] - sum(kinds.values()))}


def time_table(result: dict[str, Any]) -> Table:
    """Time of each stage."""
    table = Table(title=f"Time: {result['seconds']:.0f} s in all", title_justify="left")
    for name in ("stage", "", "seconds"):
        table.add_column(name, justify="right" if name == "seconds" else "left")
    for stage, told in result["stages"].items():
        table.add_row(stage, told["how"], f"{told['seconds']:.1f}")
    return table


def share_line(result: dict[str, Any]) -> str:
    """What the time went to, the largest share first."""
    whole = max(result["seconds"], 1e-9)
    found = sorted(shares(result).items(), key=lambda each: -each[1])
    return "time went to: " + ", ".join(f"{kind} {s / whole:.0%}" for kind, s in found)


def _decision(out: Console, result: dict[str, Any]) -> None:
    passed = result["decision"] == "passed"
    opponent = result["opponent"]
    against = f"version {opponent['version']}" if opponent["version"] else "the untrained model"
    style = "bold green" if passed else "bold yellow"
    out.print(f"\nGate: {result['decision']} (against {against})", style=style)
    for reason in result["reasons"]:
        mark, colour = ("ok", "green") if reason["passed"] else ("no", "red")
        out.print(
            f"  {mark}  {reason['name']}: {reason['said']}",
            style=colour,
            markup=False,
            soft_wrap=True,
        )
    if result["promoted"]:
        out.print(f"Version {result['version']} is in service (alias champion).")
    else:
        why = f": {result['not_promoted']}" if result["not_promoted"] else ""
        text = f"Version {result['version']} is registered as challenger, not in service{why}"
        out.print(text, markup=False, soft_wrap=True)


def _places(out: Console, space: Workspace) -> None:
    out.print("\nLook at")
    out.print("  runs, plots, models   falcon ui    (MLflow on http://127.0.0.1:5000)")
    for name, path in (
        ("report page", space.output("benchmark") / "report.html"),
        ("data docs", space.state / "data_docs" / "prepare" / "index.html"),
    ):
        out.print(f"  {name:<21} {path.relative_to(space.root)}", markup=False, highlight=False)
