"""Do the memories help? The four arms of the paper's Table IV on equal terms.

Every arm trains on the same problems with the same seeds, steps and samples and is scored
on the same held-out problems; what differs is written in :data:`ARMS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from falcon.comparison import arms
from falcon.evaluation.scores import APPS_SHARES
from falcon.feedback.reward import TERMS

if TYPE_CHECKING:
    import pandas as pd

    from falcon.config import Settings

_NO_LONG = {"memory.at": "off", "memory.error_share": "uniform", "train.meta.long_batch": 0}
_NO_REWARDS = {f"train.loss.{term}": 0.0 for term in TERMS}
ARMS: dict[str, dict[str, Any]] = {
    "none": {**_NO_LONG, **_NO_REWARDS, "train.meta.order": 0},
    "long": {"memory.error_share": "memory", "train.meta.latest_rewards": False},
    "short": _NO_LONG,
    "both": {"memory.error_share": "memory"},
}
"""Changes of the settings by arm. ``none`` is supervised training alone. ``long`` has programs
of long-term memory, P_error of eq. 9 and, where ``memory.at`` says so, recall in prompts, but no
reward of the latest samples. ``short`` has that reward and nothing of long-term memory. ``both``
is MRLF."""


def settings_of(settings: Settings, arm: str, seed: int) -> Settings:
    """The settings of one arm. Without validation it is the last adapter that is scored."""
    return settings.changed({**ARMS[arm], "seed": seed, "train.validate_every": 0})


def run_study(settings: Settings, study: arms.Study, seeds: Sequence[int]) -> dict[str, Any]:
    """Run what is missing and write ``study.json`` and ``table.md`` into ``study.out``.

    ``settings.benchmark`` gives the suites, the samples and the number of problems that arms
    are scored by. Raises what training and benchmarks raise.
    """
    frames: dict[str, list[pd.DataFrame]] = {name: [] for name in ARMS}
    for seed in seeds:
        for name in ARMS:
            changed = settings_of(settings, name, seed)
            arm = arms.Arm(changed, study.folder(name, seed), {"scores": changed.benchmark})
            frames[name].append(arms.scored(study, arm)["scores"])
    tables = {name: arms.by_problem(seeds_of_arm) for name, seeds_of_arm in frames.items()}
    base, levels = tables["none"], _levels(frames["none"][0])
    result = {
        "seeds": list(seeds),
        "problems": len(levels),
        "samples": settings.benchmark.samples,
        "steps": settings.train.steps,
        "recall": settings.memory.at,
        "model": settings.policy.model,
        "confidence": settings.gate.confidence,
        "arms": {name: _row(table, base, levels, settings) for name, table in tables.items()},
    }
    arms.write_result(study.out, result, table_of(result))
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
    weighted = None  # the paper's column "All" weighs three difficulties, so it needs all of them
    if len(by_level) == len(APPS_SHARES):
        weighted = sum(share * by_level[level.value] for level, share in APPS_SHARES.items())
    return {
        "by_difficulty": by_level,
        "all_weighted": weighted,
        **{
            name: {
                "mean": arms.interval(arm[column][shared], confidence, seed),
                "against_none": arms.difference(arm[column], base[column], confidence, seed),
            }
            for name, column in (("pass@1", "passed"), ("test_reward", "reward"))
        },
    }


def table_of(result: dict[str, Any]) -> str:
    """The study as the paper's table, pass@1 in per cent, with intervals and differences."""
    names = [level.value for level in APPS_SHARES]
    head = ["long", "short", *names, "All (0.2/0.6/0.2)"]
    head += ["pass@1", "pass@1 - none", "test reward", "reward - none"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name, row in result["arms"].items():
        levels = row["by_difficulty"]
        cells = ["x" if name in (memory, "both") else "-" for memory in ("long", "short")]
        cells += [f"{100 * levels[n]:.1f}" if n in levels else "" for n in names]
        cells.append("" if row["all_weighted"] is None else f"{100 * row['all_weighted']:.1f}")
        cells += [arms.cell(row["pass@1"][k], 100, 1) for k in ("mean", "against_none")]
        cells += [arms.cell(row["test_reward"][k], 1, 3) for k in ("mean", "against_none")]
        lines.append(f"| {' | '.join(cells)} |")
    seeds = ", ".join(map(str, result["seeds"]))
    lines.append(
        f"\n{result['problems']} held-out problems, {result['samples']} samples each, "
        f"seeds {seeds}, {result['steps']} steps, recall {result['recall']}, {result['model']}; "
        f"{100 * result['confidence']:.0f} % intervals over problems."
    )
    return "\n".join(lines) + "\n"
