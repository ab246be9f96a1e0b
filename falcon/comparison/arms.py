"""Arms of a study: trained on equal terms, scored on the same held-out problems, kept when done.

An interrupted study goes on with the arm it was in. Nothing is promoted, and the pipeline's own
results are left alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.evaluation.chunks import digest
from falcon.evaluation.intervals import Interval, bootstrap, paired_bootstrap
from falcon.files import write_whole
from falcon.sandbox.verdict import Outcome

if TYPE_CHECKING:
    import pandas as pd

    from falcon.config import BenchmarkSettings, Settings
    from falcon.memory import LongTermMemory
    from falcon.monitor import Monitor
    from falcon.problems.problem import Problem

OpenMemory = Callable[[Path, bool], AbstractContextManager["LongTermMemory"]]
"""Opens the long-term memory in a folder for writing; True: as a fresh copy of the seeded one."""


@dataclass(frozen=True)
class Study:
    """What the arms of a study share; ``data_dir`` holds the benchmarks' problems.

    Results go into ``out``, each arm of each seed into a folder of its own.
    """

    problems: Sequence[Problem]
    open_memory: OpenMemory
    data_dir: Path
    out: Path
    monitor: Monitor

    def folder(self, arm: str, seed: int) -> Path:
        """The folder of an arm with one seed."""
        return self.out / f"seed-{seed}" / arm


@dataclass(frozen=True)
class Arm:
    """One arm with one seed. ``scorings`` are named ways to score it; ``trains`` is false for
    the untrained model."""

    settings: Settings
    folder: Path
    scorings: Mapping[str, BenchmarkSettings]
    trains: bool = True

    def key(self, problems: Sequence[Problem]) -> str:
        """Digest of everything that decides the results of this arm."""
        unused = {"tracking", "gate", "benchmark"} | (
            set() if self.trains else {"train", "rollout"}
        )
        used = self.settings.model_dump(mode="json", exclude=unused)
        scorings = {name: each.model_dump(mode="json") for name, each in self.scorings.items()}
        return digest([used, scorings, self.trains, [p.model_dump(mode="json") for p in problems]])

    def samples(self, scoring: str) -> Path:
        """The file of the judged samples of one scoring."""
        return self.folder / scoring / "samples.parquet"


def scored(study: Study, arm: Arm) -> dict[str, pd.DataFrame]:
    """The judged samples of an arm by scoring; trained and sampled if not there yet.

    A change of problems, or of settings the arm depends on, starts it anew.
    """
    import pandas as pd

    key = arm.key(study.problems)
    files = {name: arm.samples(name) for name in arm.scorings}
    done, begun = arm.folder / "done", arm.folder / "begun"
    if not (_holds(done, key) and all(file.is_file() for file in files.values())):
        # `begun` names the inputs of what lies in the folder: other inputs, nothing to go on with.
        if not _holds(begun, key):
            shutil.rmtree(arm.folder, ignore_errors=True)
            write_whole(begun, key.encode())
        _train_and_score(study, arm)
        write_whole(done, key.encode())
        shutil.rmtree(arm.folder / "checkpoints", ignore_errors=True)
    return {name: pd.read_parquet(file) for name, file in files.items()}


def _holds(file: Path, key: str) -> bool:
    return file.is_file() and file.read_text() == key


def _train_and_score(study: Study, arm: Arm) -> None:
    """Do what is missing of an arm; each part that is complete has its file."""
    from falcon.evaluation.benchmark import BenchmarkFolders, run_benchmark
    from falcon.training import TrainingFolders, train

    trained = arm.folder / "trained"
    # Until then the memory starts as seeded: a resumed training appends again what it had appended.
    with study.open_memory(arm.folder / "memory", not trained.is_file()) as memory:
        if arm.trains and not trained.is_file():
            train(
                arm.settings,
                study.problems,
                memory=memory,
                folders=TrainingFolders(arm.folder, arm.folder / "checkpoints"),
                monitor=study.monitor,
            )
            write_whole(trained, b"")
        for name, scoring in arm.scorings.items():
            if arm.samples(name).is_file():
                continue
            out, work = arm.folder / name, arm.folder / "unfinished" / name
            run_benchmark(
                arm.settings.model_copy(update={"benchmark": scoring}),
                folders=BenchmarkFolders(study.data_dir, out, work),
                memory=memory,
                policies={"trained": arm.folder / "policy"} if arm.trains else {"base": None},
                monitor=study.monitor,
            )


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
    # Intervals resample problems: samples of one problem are not independent of each other.
    return table.groupby("problem_id").mean()


def interval(values: pd.Series[float], confidence: float, seed: int) -> dict[str, float]:
    """The mean over problems with its interval, as JSON."""
    return as_json(bootstrap(values.to_numpy(), confidence=confidence, seed=seed))


def difference(
    first: pd.Series[float], second: pd.Series[float], confidence: float, seed: int
) -> dict[str, float]:
    """The mean of the paired difference over the problems of both, with its interval."""
    both = first.index.intersection(second.index)
    a, b = first[both].to_numpy(), second[both].to_numpy()
    return as_json(paired_bootstrap(a, b, confidence=confidence, seed=seed))


def as_json(interval: Interval) -> dict[str, float]:
    """``value``, ``low`` and ``high`` of an interval, rounded."""
    return {name: round(float(value), 6) for name, value in vars(interval).items()}


def write_result(out: Path, result: Mapping[str, Any], table: str) -> None:
    """Write ``study.json`` and ``table.md`` into ``out``, each whole or not at all."""
    text = json.dumps(result, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_whole(out / "study.json", text.encode())
    write_whole(out / "table.md", table.encode())


def cell(interval: Mapping[str, Any], scale: float, digits: int) -> str:
    """An interval as a cell of a table."""
    value, low, high = (scale * interval[name] for name in ("value", "low", "high"))
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
