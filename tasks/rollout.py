"""Rollout: what the model writes before training, judged and added to the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from falcon.config import GateSettings
from falcon.feedback.reward import TERMS
from falcon.sandbox.verdict import Outcome
from tasks.support.check_report import CheckReport, named
from tasks.support.checks import validate
from tasks.support.expectations import NONE, Suites, among, between, present, rows
from tasks.support.files import path_md5, write_parquet
from tasks.support.handover import start_adapter
from tasks.support.memory import open_memory
from tasks.support.samples import verdict_mix, without_times
from tasks.support.stage import Stage, StageResult

if TYPE_CHECKING:
    import pandas as pd


def run(stage: Stage) -> StageResult:
    """Writes ``rollouts.parquet`` and ``memory/`` (the seed's with the outcomes added)."""
    from falcon.problems import read_problems
    from falcon.rollout import roll_out

    space, settings = stage.space, stage.settings
    problems = read_problems(space.output("prepare") / "problems.parquet")
    start = start_adapter(space, settings)
    folder, source = stage.out / "memory", space.output("seed") / "memory"
    with open_memory(space, settings, folder, writable=True, copy_of=source) as memory:
        result = roll_out(settings, problems, memory=memory, monitor=stage.monitor, start=start)
        added = memory.append(result.experiences)
        size = len(memory)
        stage.digests["memory.digest"] = memory.digest()
    stage.folders["memory"] = folder
    frame = result.frame
    write_parquet(stage.out / "rollouts.parquet", without_times(frame))
    stage.artifacts.append(stage.out / "rollouts.parquet")
    stage.digests["rollouts.md5"] = path_md5(stage.out / "rollouts.parquet")
    shares = verdict_mix(frame)
    report = _check(stage, frame, shares)
    metrics = {**result.metrics, **shares, "experiences": float(size), "added": float(added)}
    return StageResult(metrics, report)


def expectations(gate: GateSettings) -> Suites:
    """Rollouts: every reward in range, faults and tampering rare, verdicts not all of a kind."""
    return {
        "rollouts": [
            rows(),
            present("problem_id"),
            among("outcome", [o.value for o in Outcome]),
            present("reward"),
            among("not_finite", NONE),
            between("reward", -100.0, 100.0),
            between("coarse", -1.0, 1.0),
            *(between(name, -1.0, 2.0) for name in ("style", "complexity")),
            between("tokens", 0, None),
        ],
        "facts": [
            between("fault_rate", 0.0, gate.max_fault_rate),
            between("tamper_rate", 0.0, gate.max_tamper_rate, "warning"),
            between("outcomes", 2, None, "warning"),
            between("syntax_rate", 0.0, 0.95, "warning"),
            between("empty_rate", 0.0, 0.5, "warning"),
        ],
    }


def _check(stage: Stage, frame: pd.DataFrame, shares: dict[str, float]) -> CheckReport:
    """The data checks of rollouts. Programs that we failed to judge have no reward to check."""
    import pandas as pd

    judged = frame[frame["outcome"] != "sandbox_error"].copy()
    terms = [c for c in ("reward", *TERMS) if c in judged]
    # A term that does not apply is NaN by design, so only infinite values are faults here.
    infinite = np.isinf(judged[terms].to_numpy(dtype=float))  # [rows, terms]
    judged["not_finite"] = [named(np.array(terms)[row]) for row in infinite]
    facts: dict[str, Any] = {
        "fault_rate": shares["fault_rate"],
        "tamper_rate": shares["tamper_rate"],
        "outcomes": int(frame["outcome"].nunique()),
        "syntax_rate": shares.get("outcome/syntax_error", 0.0),
        "empty_rate": float((frame["program"].str.strip() == "").mean()) if len(frame) else 1.0,
    }
    tables = {"rollouts": judged, "facts": pd.DataFrame([facts])}
    return validate("rollout", tables, expectations(stage.settings.gate), docs=stage.docs)
