"""Do the memories help? The four arms of the paper's Table IV on equal terms.

Every arm trains on the same problems with the same seeds, steps and samples and is scored
on the same held-out problems; what differs is written in :data:`ARMS`. Finished arms are
kept, so an interrupted study goes on. It promotes nothing and leaves the pipeline's own
results alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.comparison.arms import (
    OpenMemory,
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
        "meta": {"long_batch": 0, "order": 0},
        "loss": _NO_REWARDS,
    },
    "long": {"memory": _LONG, "meta": {"latest_rewards": False}},
    "short": {"memory": _NO_LONG, "meta": {"long_batch": 0}},
    "both": {"memory": _LONG},
}
"""Changes of the settings by arm. ``none`` is supervised training alone; ``long`` has programs
of long-term memory, P_error of eq. 9 and, where ``memory.at`` says so, recall in prompts, but no reward
of the latest samples; ``short`` has those and nothing of long-term memory; ``both`` is MRLF whole."""


def settings_of(settings: Settings, arm: str, seed: int) -> Settings:
    """The settings of one arm; benchmarks are sampled, since greedy hides small gains."""
    changes = ARMS[arm]
    train = settings.train.model_copy(
        update={
            "meta": settings.train.meta.model_copy(update=changes.get("meta", {})),
            "loss": settings.train.loss.model_copy(update=changes.get("loss", {})),
            "validate_every": 0,
        }
    )
    return settings.model_copy(
        update={
            "seed": seed,
            "memory": settings.memory.model_copy(update=changes.get("memory", {})),
            "train": train,
        }
    )


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

    ``settings.benchmark`` says on what, with how many samples and how many problems arms are
    scored. Raises what training and benchmarks raise.
    """
    frames: dict[str, list[pd.DataFrame]] = {name: [] for name in ARMS}
    for seed in seeds:
        for name in ARMS:
            mine = settings_of(settings, name, seed)
            samples = scored(
                mine,
                problems,
                open_memory=open_memory,
                data_dir=data_dir,
                place=out / f"seed-{seed}" / name,
                monitor=monitor,
                scorings={"scores": mine.benchmark},
            )
            frames[name].append(samples["scores"])
    arms = {name: by_problem(found) for name, found in frames.items()}
    levels = _levels(frames["none"][0])
    found = {
        "seeds": list(seeds),
        "problems": len(levels),
        "samples": settings.benchmark.samples,
        "steps": settings.train.steps,
        "recall": settings.memory.at,
        "model": settings.policy.model,
        "confidence": settings.gate.confidence,
        "arms": {name: _row(arm, arms["none"], levels, settings) for name, arm in arms.items()},
    }
    write_result(out, found, table_of(found))
    return found


def _levels(frame: pd.DataFrame) -> dict[str, str]:
    """Difficulty by problem id."""
    pairs = zip(frame["problem_id"], frame["difficulty"], strict=True)
    return {str(problem): str(level) for problem, level in pairs}


def _row(
    arm: pd.DataFrame, base: pd.DataFrame, levels: dict[str, str], settings: Settings
) -> dict[str, Any]:
    confidence, seed = settings.gate.confidence, settings.seed
    shared = arm.index.intersection(base.index)
    by_level = {
        level.value: float(arm.passed[[p for p in shared if levels[p] == level.value]].mean())
        for level in APPS_SHARES
        if any(levels[p] == level.value for p in shared)
    }
    whole = len(by_level) == len(APPS_SHARES)
    weighted = (
        sum(share * by_level[level.value] for level, share in APPS_SHARES.items())
        if whole
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


def table_of(found: dict[str, Any]) -> str:
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
    for name, row in found["arms"].items():
        levels = row["by_difficulty"]
        cells = [
            "x" if name in ("long", "both") else "-",
            "x" if name in ("short", "both") else "-",
        ]
        cells += [f"{100 * levels[n]:.1f}" if n in levels else "" for n in names]
        cells.append("" if row["all_weighted"] is None else f"{100 * row['all_weighted']:.1f}")
        cells += [cell(row["pass@1"][k], 100, 1) for k in ("mean", "against_none")]
        cells += [cell(row["test_reward"][k], 1, 3) for k in ("mean", "against_none")]
        lines.append(f"| {' | '.join(cells)} |")
    seeds = ", ".join(map(str, found["seeds"]))
    lines.append(
        f"\n{found['problems']} held-out problems, {found['samples']} samples each, seeds {seeds}, "
        f"{found['steps']} steps, recall {found['recall']}, {found['model']}; {100 * found['confidence']:.0f} % intervals over problems."
    )
    return "\n".join(lines) + "\n"
