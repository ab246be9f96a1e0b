"""Benchmark: the untrained model, the trained one and the model in service, scored alike."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from falcon.sandbox.verdict import Outcome
from tasks.support.check_report import CheckReport, named
from tasks.support.checks import validate
from tasks.support.expectations import NONE, Suites, among, between, present, rows
from tasks.support.files import path_md5, write_parquet
from tasks.support.handover import read_champion, trained_on
from tasks.support.memory import open_memory
from tasks.support.samples import TIMES, verdict_mix, without_times
from tasks.support.scores import read_scores
from tasks.support.stage import Stage, StageResult
from tasks.support.stage_code import code_file

if TYPE_CHECKING:
    import pandas as pd


def run(stage: Stage) -> StageResult:
    """Writes ``scores.json``, ``samples.parquet`` and ``report.html``."""
    import pandas as pd

    from falcon.evaluation import BenchmarkFolders, run_benchmark

    space, settings = stage.space, stage.settings
    policies: dict[str, Path | None] = {"base": None, "trained": space.output("train") / "policy"}
    adapter, card = read_champion(space)
    if adapter is not None:
        policies["champion"] = adapter
        stage.run.tags({"champion.version": card.get("version", "")})
    work = _work_folder(stage)
    with open_memory(space, settings, space.output("train") / "memory") as memory:
        result = run_benchmark(
            settings,
            folders=BenchmarkFolders(space.data, stage.out, work),
            memory=memory,
            policies=policies,
            monitor=stage.monitor,
            curves=pd.read_csv(space.output("train") / "curves.csv"),
            trained_on=trained_on(space.output("train")) | trained_on(space.handover / "champion"),
        )
    samples = stage.out / "samples.parquet"
    frame = pd.read_parquet(samples)
    if any(column in frame for column in TIMES):
        write_parquet(samples, without_times(frame))
    shares = {
        f"{policy}/{key}": value
        for policy in policies
        for key, value in verdict_mix(frame[frame["policy"] == policy]).items()
    }
    stage.artifacts += [stage.out / "scores.json", stage.out / "report.html", samples]
    stage.digests["samples.md5"] = path_md5(samples)
    report = _check(stage, frame, list(policies))
    return StageResult({**shares, **result.metrics}, report)


def _work_folder(stage: Stage) -> Path:
    """Where chunks of an unfinished benchmark by the same code are; those of other code go."""
    folder = stage.space.state / "work" / "benchmark"
    own = folder / path_md5(code_file(stage.space, "benchmark"))
    for other in folder.glob("*"):
        if other != own:
            shutil.rmtree(other) if other.is_dir() else other.unlink()
    return own


def expectations(policies: Sequence[str]) -> Suites:
    """Samples: every problem scored by every policy, and no sandbox fault."""
    return {
        "samples": [
            rows(),
            present("problem_id"),
            among("policy", list(policies)),
            among("outcome", [o.value for o in Outcome if o is not Outcome.SANDBOX_ERROR]),
        ],
        "facts": [
            between("scores", 1, None),
            among("not_scored", NONE),
            among("scores_not_finite", NONE),
        ],
    }


def _check(stage: Stage, frame: pd.DataFrame, policies: list[str]) -> CheckReport:
    """The data checks of a benchmark: nothing left out, no fault of ours, finite scores."""
    import pandas as pd

    scores = read_scores(stage.out / "scores.json")
    keys = frame["suite"].str.cat(frame["problem_id"], sep=" ")
    everything = set(keys)
    figures = {
        f"{policy} on {name}": score.pass_at_1
        for policy, by_suite in scores.policies.items()
        for name, score in by_suite.items()
    }
    facts = {
        "scores": len(figures),
        "not_scored": named(
            f"{policy}: {key}"
            for policy in policies
            for key in sorted(everything - set(keys[frame["policy"] == policy]))
        ),
        "scores_not_finite": named(
            name for name, f in figures.items() if f is None or not math.isfinite(f.value)
        ),
    }
    tables = {"samples": frame, "facts": pd.DataFrame([facts])}
    return validate("benchmark", tables, expectations(policies), docs=stage.docs)
