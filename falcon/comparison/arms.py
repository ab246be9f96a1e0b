"""Arms of a study: trained on equal terms, scored on the same held-out problems, kept when done.

An interrupted study goes on with the arm it was in. Nothing is promoted, and the pipeline's own
results are left alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.evaluation.chunks import digest, write_whole
from falcon.evaluation.intervals import Interval, bootstrap, paired_bootstrap
from falcon.sandbox.verdict import Outcome

if TYPE_CHECKING:
    import pandas as pd

    from falcon.config import BenchmarkSettings, Settings
    from falcon.memory import LongTermMemory
    from falcon.monitor import Monitor
    from falcon.problems.problem import Problem

OpenMemory = Callable[[Path, bool], AbstractContextManager["LongTermMemory"]]
"""Opens the long-term memory in a folder for writing; True: as a fresh copy of the seeded one."""


def scored(
    settings: Settings,
    problems: Sequence[Problem],
    *,
    open_memory: OpenMemory,
    data_dir: Path,
    place: Path,
    monitor: Monitor,
    scorings: Mapping[str, BenchmarkSettings],
    trains: bool = True,
) -> dict[str, pd.DataFrame]:
    """The judged samples of one arm and seed by scoring; trained and sampled if not there yet.

    With ``trains`` false it is the untrained model that is scored. A change of problems, or of
    settings the arm depends on, starts it anew.
    """
    import pandas as pd

    from falcon.evaluation.benchmark import BenchmarkFolders, run_benchmark
    from falcon.training import train

    told = [p.model_dump(mode="json") for p in problems]
    ways = {name: each.model_dump(mode="json") for name, each in scorings.items()}
    unused = {"tracking", "gate", "benchmark"} | (set() if trains else {"train", "rollout"})
    used = settings.model_dump(mode="json", exclude=unused)
    key = digest([used, ways, trains, told])
    done = place / "done"
    files = {name: place / name / "samples.parquet" for name in scorings}
    if done.is_file() and done.read_text() == key and all(f.is_file() for f in files.values()):
        return {name: pd.read_parquet(file) for name, file in files.items()}
    begun = place / "begun"
    if not (begun.is_file() and begun.read_text() == key):
        shutil.rmtree(place, ignore_errors=True)
        write_whole(begun, key.encode())
    trained = place / "trained"
    # A training that goes on finds in its checkpoint what it has appended.
    with open_memory(place / "memory", not trained.is_file()) as memory:
        if trains and not trained.is_file():
            train(
                settings,
                problems,
                memory=memory,
                out=place,
                checkpoints=place / "checkpoints",
                monitor=monitor,
            )
            write_whole(trained, b"")
        for name, scoring in scorings.items():
            if files[name].is_file():
                continue
            run_benchmark(
                settings.model_copy(update={"benchmark": scoring}),
                folders=BenchmarkFolders(data_dir, place / name, place / "unfinished" / name),
                memory=memory,
                policies={"trained": place / "policy"} if trains else {"base": None},
                monitor=monitor,
            )
    write_whole(done, key.encode())
    shutil.rmtree(place / "checkpoints", ignore_errors=True)
    return {name: pd.read_parquet(file) for name, file in files.items()}


def by_problem(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Means over samples and seeds, a row a problem: ``passed``, ``reward``, ``syntax``, ``crash``.

    Samples that the sandbox could not judge are left out.
    """
    import pandas as pd

    frame = pd.concat(list(frames))
    frame = frame[frame["outcome"] != Outcome.SANDBOX_ERROR.value]
    classes = frame["outcome"].map(lambda value: Outcome(value).coarse)
    table = pd.DataFrame(
        {
            "problem_id": frame["problem_id"],
            "passed": (classes == "pass").astype(float),
            "reward": frame["test_reward"].astype(float),
            "syntax": (classes == "syntax").astype(float),
            "crash": (classes == "runtime").astype(float),
        }
    )
    return table.groupby("problem_id").mean()


def interval(values: pd.Series[float], confidence: float, seed: int) -> dict[str, float]:
    """The mean over problems with its interval, as JSON."""
    return shown(bootstrap(values.to_numpy(), confidence=confidence, seed=seed))


def difference(
    first: pd.Series[float], second: pd.Series[float], confidence: float, seed: int
) -> dict[str, float]:
    """The mean of the paired difference over the problems of both, with its interval."""
    both = first.index.intersection(second.index)
    a, b = first[both].to_numpy(), second[both].to_numpy()
    return shown(paired_bootstrap(a, b, confidence=confidence, seed=seed))


def shown(found: Interval) -> dict[str, float]:
    """An interval as JSON data."""
    return {name: round(float(value), 6) for name, value in vars(found).items()}


def write_result(out: Path, found: Mapping[str, Any], table: str) -> None:
    """Write ``study.json`` and ``table.md`` into ``out``, each whole or not at all."""
    text = json.dumps(found, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_whole(out / "study.json", text.encode())
    write_whole(out / "table.md", table.encode())


def cell(found: Mapping[str, Any], scale: float, digits: int) -> str:
    """An interval as a cell of a table."""
    value, low, high = (scale * found[name] for name in ("value", "low", "high"))
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
