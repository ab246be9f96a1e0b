"""Rollout: what the untrained model writes, judged and remembered."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.seed import open_memory
from tasks.support import expectations as suites
from tasks.support.checks import CheckReport, validate
from tasks.support.stage import Stage, StageResult
from tasks.support.workspace import write_parquet

if TYPE_CHECKING:
    import pandas as pd


TIMES = ("cpu_s", "wall_s")
"""Columns that differ from run to run whatever was done; kept out of DVC's outputs."""


def body(stage: Stage) -> StageResult:
    """Writes ``rollouts.parquet`` and ``memory/`` (the seed's with the outcomes added)."""
    from falcon.memory import make_encoder
    from falcon.problems import read_problems
    from falcon.rollout import roll_out

    space, settings = stage.space, stage.settings
    problems = read_problems(space.output("prepare") / "problems.parquet")
    folder = stage.out / "memory"
    source = space.output("seed") / "memory"
    encoder = make_encoder(settings.memory.encoder)
    with open_memory(
        folder, encoder, space.state, writable=True, copy_of=source, settings=settings
    ) as memory:
        result = roll_out(settings, problems, memory=memory, monitor=stage.monitor)
        added = memory.append(result.experiences)
        size = len(memory)
        stage.run.tags({"memory.digest": memory.digest()})
    frame = result.frame
    write_parquet(
        stage.out / "rollouts.parquet", frame.drop(columns=[c for c in TIMES if c in frame])
    )
    shares = mix(frame)
    report = check(stage, frame, shares)
    metrics = {**result.metrics, **shares, "experiences": float(size), "added": float(added)}
    return StageResult(metrics, report)


def mix(frame: pd.DataFrame) -> dict[str, float]:
    """Verdict mix as ``outcome/OUTCOME`` shares, with fault, tamper and pass rates."""
    n = max(len(frame), 1)
    shares = {
        f"outcome/{outcome}": count / n
        for outcome, count in frame["outcome"].value_counts().items()
    }
    tripped = frame["tripped"].map(bool) if "tripped" in frame else frame["outcome"] == ""
    return {
        **shares,
        "pass_rate": float((frame["outcome"] == "pass").mean()) if len(frame) else math.nan,
        "fault_rate": float((frame["outcome"] == "sandbox_error").mean())
        if len(frame)
        else math.nan,
        "tamper_rate": float(tripped.mean()) if len(frame) else math.nan,
    }


def check(stage: Stage, frame: pd.DataFrame, shares: dict[str, float]) -> CheckReport:
    """The data checks of rollouts; those we failed to judge have no reward to look at."""
    import pandas as pd

    judged = frame[frame["outcome"] != "sandbox_error"].copy()
    terms = [c for c in ("reward", *suites.REWARD_TERMS) if c in judged]
    judged["rewards_finite"] = list(~np.isinf(judged[terms].to_numpy(dtype=float)).any(axis=1))
    facts: dict[str, Any] = {
        "fault_rate": shares["fault_rate"],
        "tamper_rate": shares["tamper_rate"],
        "outcomes": int(frame["outcome"].nunique()),
        "syntax_rate": shares.get("outcome/syntax_error", 0.0),
        "empty_rate": float((frame["program"].str.strip() == "").mean()) if len(frame) else 1.0,
    }
    tables = {"rollouts": judged, "facts": pd.DataFrame([facts])}
    return validate("rollout", tables, suites.rollout(stage.settings.gate), docs=stage.docs)
