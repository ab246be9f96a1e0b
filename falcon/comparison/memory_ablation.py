"""Do the memories help? The four arms of the paper's Table IV on equal terms.

Every arm trains on the same problems with the same seeds, steps and samples and is scored
on the same held-out problems; what differs is written in :data:`ARMS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.comparison.arms import (
    Arm,
    OpenMemory,
    Study,
    by_problem,
    cell,
    difference,
    interval,
    scored,
    write_result,
)
from falcon.evaluation.scores import APPS_SHARES
from falcon.feedback.reward import TERMS

if TYPE_CHECKING:
    import pandas as pd

    from falcon.config import Settings
    from falcon.monitor import Monitor
    from falcon.problems.problem import Problem

_NO_REWARDS = dict.fromkeys(TERMS, 0.0)
_LONG = {"error_share": "memory"}
_NO_LONG = {"at": "off", "error_share": "uniform"}
Changes = dict[str, dict[str, Any]]
ARMS: dict[str, Changes] = {
    "none": {
        "memory": _NO_LONG,
        "train.meta": {"long_batch": 0, "order": 0},
        "train.loss": _NO_REWARDS,
    },
    "long": {"memory": _LONG, "train.meta": {"latest_rewards": False}},
    "short": {"memory": _NO_LONG, "train.meta": {"long_batch": 0}},
    "both": {"memory": _LONG},
}
"""Changes of the settings by arm. ``none`` is supervised training alone. ``long`` has programs
of long-term memory, P_error of eq. 9 and, where ``memory.at`` says so, recall in prompts, but no
reward of the latest samples. ``short`` has that reward and nothing of long-term memory. ``both``
is MRLF."""


def settings_of(settings: Settings, arm: str, seed: int) -> Settings:
    """The settings of one arm; benchmarks are sampled, since greedy hides small gains."""
    return settings.changed({"seed": seed, "train.validate_every": 0, **ARMS[arm]})


def run_study(
    settings: Settings,
    problems: Sequence[Problem],
    *,
    open_memory: OpenMemory,
    data_dir: Path,
    out: Path,
    seeds: Sequence[int],
    monitor: Monitor,
) -> dict[str, Any]:
    """Run what is missing and write ``study.json`` and ``table.md`` into ``out``.

    ``settings.benchmark`` gives the suites, the samples and the number of problems that arms
    are scored by. Raises what training and benchmarks raise.
    """
    study = Study(problems, open_memory, data_dir, monitor)
    frames: dict[str, list[pd.DataFrame]] = {name: [] for name in ARMS}
    for seed in seeds:
        for name in ARMS:
            changed = settings_of(settings, name, seed)
            arm = Arm(changed, out / f"seed-{seed}" / name, {"scores": changed.benchmark})
            frames[name].append(scored(study, arm)["scores"])
    tables = {name: by_problem(seeds_of_arm) for name, seeds_of_arm in frames.items()}
    levels = _levels(frames["none"][0])
    result = {
        "seeds": list(seeds),
        "problems": len(levels),
        "samples": settings.benchmark.samples,
        "steps": settings.train.steps,
        "recall": settings.memory.at,
        "model": settings.policy.model,
        "confidence": settings.gate.confidence,
        "arms": {
            name: _row(table, tables["none"], levels, settings) for name, table in tables.items()
        },
    }
    write_result(out, result, table_of(result))
    return result


def _levels(frame: pd.DataFrame) -> dict[str, str]:
    """Difficulty by problem id."""
    pairs = zip(frame["problem_id"], frame["difficulty"], strict=True)
    return {str(problem): str(level) for problem, level in pairs}


def _row(
    arm: pd.DataFrame, base: pd.DataFrame, levels: dict[str, str], settings: Settings
) -> dict[str, Any]:
    """One arm beside the arm without memories, on the problems that both were judged on."""
    confidence, seed = settings.gate.confidence, settings.seed
    shared = arm.index.intersection(base.index)
    by_level = {
        level.value: float(arm.passed[[p for p in shared if levels[p] == level.value]].mean())
        for level in APPS_SHARES
        if any(levels[p] == level.value for p in shared)
    }
    # The paper's column "All" weighs all three difficulties; without one it has no value.
    weighted = (
        sum(share * by_level[level.value] for level, share in APPS_SHARES.items())
        if len(by_level) == len(APPS_SHARES)
        else None
    )
    return {
        "by_difficulty": by_level,
        "all_weighted": weighted,
        **{
            name: {
                "mean": interval(arm[column][shared], confidence, seed),
                "against_none": difference(arm[column], base[column], confidence, seed),
            }
            for name, column in (("pass@1", "passed"), ("test_reward", "reward"))
        },
    }


def table_of(result: dict[str, Any]) -> str:
    """The study as the paper's table, pass@1 in per cent, with intervals and differences."""
    names = [level.value for level in APPS_SHARES]
    head = [
        "long",
        "short",
        *names,
        "All (0.2/0.6/0.2)",
        "pass@1",
        "pass@1 - none",
        "test reward",
        "reward - none",
    ]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name, row in result["arms"].items():
        levels = row["by_difficulty"]
        cells = ["x" if name in (memory, "both") else "-" for memory in ("long", "short")]
        cells += [f"{100 * levels[n]:.1f}" if n in levels else "" for n in names]
        cells.append("" if row["all_weighted"] is None else f"{100 * row['all_weighted']:.1f}")
        cells += [cell(row["pass@1"][k], 100, 1) for k in ("mean", "against_none")]
        cells += [cell(row["test_reward"][k], 1, 3) for k in ("mean", "against_none")]
        lines.append(f"| {' | '.join(cells)} |")
    seeds = ", ".join(map(str, result["seeds"]))
    lines.append(
        f"\n{result['problems']} held-out problems, {result['samples']} samples each, seeds {seeds}, "
        f"{result['steps']} steps, recall {result['recall']}, {result['model']}; "
        f"{100 * result['confidence']:.0f} % intervals over problems."
    )
    return "\n".join(lines) + "\n"
