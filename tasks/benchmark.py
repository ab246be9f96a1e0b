"""Benchmark: the untrained model, the trained one and the model in service, scored alike."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.errors import UserError
from falcon.monitor import Monitor
from tasks.rollout import mix
from tasks.seed import open_memory
from tasks.support import expectations as suites
from tasks.support.checks import CheckReport, validate
from tasks.support.scores import read_scores
from tasks.support.stage import Stage, StageResult
from tasks.support.workspace import Workspace, replaced_file, write_parquet

if TYPE_CHECKING:
    import pandas as pd

    from falcon.evaluation import BenchmarkResult

TIMES = ("cpu_s", "wall_s")


def champion(space: Workspace) -> tuple[Path | None, dict[str, Any]]:
    """Adapter of the model in service and what is known of it; (None, {}) when there is none."""
    folder = space.handover / "champion"
    card = folder / "champion.json"
    if not card.is_file():
        return None, {}
    return folder / "adapter", dict(json.loads(card.read_text(encoding="utf-8")))


def body(stage: Stage) -> StageResult:
    """Writes ``scores.json``, ``samples.parquet`` and ``report.html``."""
    import pandas as pd

    from falcon.evaluation import BenchmarkFolders, run_benchmark
    from falcon.memory import make_encoder

    space, settings = stage.space, stage.settings
    policies: dict[str, Path | None] = {"base": None, "trained": space.output("train") / "policy"}
    adapter, card = champion(space)
    if adapter is not None:
        policies["champion"] = adapter
        stage.run.tags({"champion.version": card.get("version", "")})
    encoder = make_encoder(settings.memory.encoder)
    with open_memory(
        space.output("train") / "memory", encoder, space.state, settings=settings
    ) as memory:
        result = run_benchmark(
            settings,
            folders=BenchmarkFolders(space.data, stage.out, space.state / "work" / "benchmark"),
            memory=memory,
            policies=policies,
            monitor=stage.monitor,
            curves=pd.read_csv(space.output("train") / "curves.csv"),
        )
    samples = stage.out / "samples.parquet"
    frame = pd.read_parquet(samples)
    if any(column in frame for column in TIMES):
        write_parquet(samples, frame.drop(columns=[c for c in TIMES if c in frame]))
    shares = {
        f"{policy}/{key}": value
        for policy in policies
        for key, value in mix(frame[frame["policy"] == policy]).items()
    }
    stage.artifacts += [stage.out / "scores.json", stage.out / "report.html"]
    report = check(stage, frame, list(policies))
    return StageResult({**shares, **result.metrics}, report)


def rescored(space: Workspace, monitor: Monitor) -> BenchmarkResult:
    """The samples of the last benchmark judged again, into ``state/rescored``: results of a
    stage are DVC's and stay as they are. Raises UserError when there are none."""
    from falcon.evaluation.rescore import rescore
    from falcon.memory import make_encoder

    settings, out = space.settings(), space.state / "rescored"
    for name in ("samples.parquet", "scores.json"):
        file = space.output("benchmark") / name
        if not file.is_file():
            raise UserError(f"{file} is not there.", hint="Run `dvc repro benchmark`.")
        with replaced_file(out / name) as temporary:
            shutil.copyfile(file, temporary)
    encoder = make_encoder(settings.memory.encoder)
    with open_memory(
        space.output("train") / "memory", encoder, space.state, settings=settings
    ) as memory:
        return rescore(settings, data_dir=space.data, memory=memory, out=out, monitor=monitor)


def check(stage: Stage, frame: pd.DataFrame, policies: list[str]) -> CheckReport:
    """The data checks of a benchmark: nothing left out, nothing our fault, scores that are numbers."""
    import pandas as pd

    scores = read_scores(stage.out / "scores.json")
    keys = pd.Series(list(zip(frame["suite"], frame["problem_id"], strict=True)), index=frame.index)
    scored = {p: set(keys[frame["policy"] == p]) for p in policies}
    everything = set(keys)
    numbers = [
        score.pass_at_1.value for suite in scores.policies.values() for score in suite.values()
    ]
    facts = {
        "all_scored": bool(everything) and all(found == everything for found in scored.values()),
        "faults": int((frame["outcome"] == "sandbox_error").sum()),
        "scores_finite": bool(numbers) and all(n is not None and math.isfinite(n) for n in numbers),
    }
    tables = {"samples": frame, "facts": pd.DataFrame([facts])}
    return validate("benchmark", tables, suites.benchmark(policies), docs=stage.docs)
