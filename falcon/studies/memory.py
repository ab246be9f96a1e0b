"""Do the memories help? The four arms of the paper's Table IV on equal terms.

Every arm trains on the same problems with the same seeds, steps and samples and is scored
on the same held-out problems; what differs is written in :data:`ARMS`. Finished arms are
kept, so an interrupted study goes on. It promotes nothing and leaves the pipeline's own
results alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from falcon.evaluation.chunks import digest, write_whole
from falcon.evaluation.intervals import Interval, bootstrap, paired_bootstrap
from falcon.evaluation.scores import APPS_SHARES
from falcon.sandbox.verdict import Outcome

if TYPE_CHECKING:
    import pandas as pd

    from falcon.config import Settings
    from falcon.memory import LongTermMemory
    from falcon.monitor import Monitor
    from falcon.problems.problem import Problem

OpenMemory = Callable[[Path, bool], AbstractContextManager["LongTermMemory"]]
"""Opens the long-term memory in a folder for writing; True: as a fresh copy of the seeded one."""

_NO_TESTS = {"coarse": 0.0, "error": 0.0, "complexity": 0.0, "style": 0.0}
_LONG = {"at": "both", "error_share": "memory"}
_NO_LONG = {"at": "off", "error_share": "uniform"}
Changes = dict[str, dict[str, Any]]
ARMS: dict[str, Changes] = {
    "none": {
        "memory": _NO_LONG,
        "meta": {"long_batch": 0, "order": 0},
        "loss": {**_NO_TESTS, "negative": 0.0},
    },
    "long": {"memory": _LONG, "loss": _NO_TESTS},
    "short": {"memory": _NO_LONG, "meta": {"long_batch": 0}},
    "both": {"memory": _LONG},
}
"""Changes of the settings by arm. ``none`` is supervised training alone; ``long`` recalls
experiences and knows P_error of eq. 9 but has no reward of the latest samples; ``short`` has
those and neither recall nor P_error; ``both`` is MRLF whole."""


@dataclass(frozen=True)
class Arm:
    """One row of the table: pass rate by problem [problems], and the mean test reward."""

    name: str
    passed: pd.Series[float]
    reward: pd.Series[float]


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
            place = out / f"seed-{seed}" / name
            frames[name].append(_scored(mine, problems, open_memory, data_dir, place, monitor))
    arms = [_arm(name, found) for name, found in frames.items()]
    levels = _levels(frames["none"][0])
    found = {
        "seeds": list(seeds),
        "problems": len(levels),
        "samples": settings.benchmark.samples,
        "steps": settings.train.steps,
        "model": settings.policy.model,
        "confidence": settings.gate.confidence,
        "arms": {arm.name: _row(arm, arms[0], levels, settings) for arm in arms},
    }
    text = json.dumps(found, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_whole(out / "study.json", text.encode())
    write_whole(out / "table.md", table_of(found).encode())
    return found


def _scored(
    settings: Settings,
    problems: Sequence[Problem],
    open_memory: OpenMemory,
    data_dir: Path,
    place: Path,
    monitor: Monitor,
) -> pd.DataFrame:
    """The judged samples of one arm and seed; trained and sampled if they are not there yet."""
    import pandas as pd

    from falcon.evaluation.benchmark import run_benchmark
    from falcon.training import train

    told = [p.model_dump(mode="json") for p in problems]
    key = digest([settings.model_dump(mode="json", exclude={"tracking", "gate"}), told])
    done, samples = place / "done", place / "scores" / "samples.parquet"
    if done.is_file() and done.read_text() == key and samples.is_file():
        return pd.read_parquet(samples)
    begun = place / "begun"
    if not (begun.is_file() and begun.read_text() == key):
        shutil.rmtree(place, ignore_errors=True)
        write_whole(begun, key.encode())
    trained = place / "trained"
    # A training that goes on finds in its checkpoint what it has appended.
    with open_memory(place / "memory", not trained.is_file()) as memory:
        if not trained.is_file():
            train(
                settings,
                problems,
                memory=memory,
                out=place,
                checkpoints=place / "checkpoints",
                monitor=monitor,
            )
            write_whole(trained, b"")
        run_benchmark(
            settings,
            data_dir=data_dir,
            memory=memory,
            policies={"trained": place / "policy"},
            out=place / "scores",
            work=place / "unfinished",
            monitor=monitor,
        )
    write_whole(done, key.encode())
    shutil.rmtree(place / "checkpoints", ignore_errors=True)
    return pd.read_parquet(samples)


def _arm(name: str, frames: Sequence[pd.DataFrame]) -> Arm:
    import pandas as pd

    frame = pd.concat(list(frames))
    frame = frame[frame["outcome"] != Outcome.SANDBOX_ERROR.value]
    solved = (frame["outcome"] == Outcome.PASS.value).astype(float)
    key = frame["problem_id"]
    return Arm(name, solved.groupby(key).mean(), frame["test_reward"].groupby(key).mean())


def _levels(frame: pd.DataFrame) -> dict[str, str]:
    """Difficulty by problem id."""
    pairs = zip(frame["problem_id"], frame["difficulty"], strict=True)
    return {str(problem): str(level) for problem, level in pairs}


def _row(arm: Arm, base: Arm, levels: dict[str, str], settings: Settings) -> dict[str, Any]:
    confidence, seed = settings.gate.confidence, settings.seed
    shared = [p for p in levels if p in arm.passed.index and p in base.passed.index]
    by_level = {
        level.value: float(np.mean([arm.passed[p] for p in shared if levels[p] == level.value]))
        for level in APPS_SHARES
        if any(levels[p] == level.value for p in shared)
    }
    whole = len(by_level) == len(APPS_SHARES)
    weighted = (
        sum(share * by_level[level.value] for level, share in APPS_SHARES.items())
        if whole
        else None
    )

    def both(ours: pd.Series[float], theirs: pd.Series[float]) -> dict[str, Any]:
        a, b = ours[shared].to_numpy(), theirs[shared].to_numpy()
        return {
            "mean": _shown(bootstrap(a, confidence=confidence, seed=seed)),
            "against_none": _shown(paired_bootstrap(a, b, confidence=confidence, seed=seed)),
        }

    return {
        "by_difficulty": by_level,
        "all_weighted": weighted,
        "pass@1": both(arm.passed, base.passed),
        "test_reward": both(arm.reward, base.reward),
    }


def _shown(interval: Interval) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in vars(interval).items()}


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
        cells += [_cell(row["pass@1"][k], 100, 1) for k in ("mean", "against_none")]
        cells += [_cell(row["test_reward"][k], 1, 3) for k in ("mean", "against_none")]
        lines.append(f"| {' | '.join(cells)} |")
    seeds = ", ".join(map(str, found["seeds"]))
    lines.append(
        f"\n{found['problems']} held-out problems, {found['samples']} samples each, seeds {seeds}, "
        f"{found['steps']} steps, {found['model']}; {100 * found['confidence']:.0f} % intervals over problems."
    )
    return "\n".join(lines) + "\n"


def _cell(interval: dict[str, float], scale: float, digits: int) -> str:
    value, low, high = (scale * interval[name] for name in ("value", "low", "high"))
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
