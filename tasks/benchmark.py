"""Benchmark: the untrained model, the trained one and the model in service, scored alike."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.support import expectations as suites
from tasks.support.checks import CheckReport, validate
from tasks.support.files import path_md5, write_parquet
from tasks.support.handover import read_champion
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
    stage.artifacts += [stage.out / "scores.json", stage.out / "report.html"]
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


def _check(stage: Stage, frame: pd.DataFrame, policies: list[str]) -> CheckReport:
    """The data checks of a benchmark: nothing left out, no fault of ours, finite scores."""
    import pandas as pd

    scores = read_scores(stage.out / "scores.json")
    keys = pd.Series(list(zip(frame["suite"], frame["problem_id"], strict=True)), index=frame.index)
    scored = [set(keys[frame["policy"] == policy]) for policy in policies]
    figures = [score.pass_at_1 for suite in scores.policies.values() for score in suite.values()]
    finite = [figure is not None and math.isfinite(figure.value) for figure in figures]
    facts = {
        "all_scored": len(keys) > 0 and all(each == set(keys) for each in scored),
        "faults": int((frame["outcome"] == "sandbox_error").sum()),
        "scores_finite": bool(finite) and all(finite),
    }
    tables = {"samples": frame, "facts": pd.DataFrame([facts])}
    return validate("benchmark", tables, suites.benchmark(policies), docs=stage.docs)
