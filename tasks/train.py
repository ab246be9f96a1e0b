"""Train: meta-reinforcement learning of the adapter, resumed where it was interrupted.

Checkpoints lie in ``state/checkpoints/train/KEY``; KEY is made of all that training depends on, so
one of other settings or data is never used. A training that ended well leaves none behind.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from falcon.config import Settings
from falcon.errors import UserError
from tasks.support.check_report import CheckReport, named
from tasks.support.checks import validate
from tasks.support.expectations import NONE, Suites, among, between, rows, unique
from tasks.support.files import path_md5, write_json
from tasks.support.handover import read_start, start_adapter, trained_on
from tasks.support.memory import open_memory
from tasks.support.processes import launched, rank
from tasks.support.stage import Stage, StageResult
from tasks.support.stage_code import code_file
from tasks.support.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from falcon.memory import LongTermMemory
    from falcon.problems.problem import Problem
    from falcon.training.run.device_memory import DeviceMemory

KEPT = 2
"""Interrupted trainings whose checkpoints are kept."""

UNUSED = ("rollout", "benchmark", "gate", "tracking", "machine")
"""Sections that change none of a training's numbers; ``machine`` says how its work is divided."""


TAMPERING = 0.05
"""Share of programs that try to cheat from which a training warns. ``gate.max_tamper_rate`` decides
on promotion; it is not read here, since another value must not train anew."""


def checkpoint_folder(space: Workspace, settings: Settings) -> Path:
    """Where this training keeps its checkpoints."""
    inputs = {
        "code": path_md5(code_file(space, "train")),
        "settings": settings.model_dump(mode="json", exclude=set(UNUSED)),
        "problems": path_md5(space.output("prepare") / "problems.parquet"),
        "memory": path_md5(space.output("rollout") / "memory"),
        "start": read_start(space)[1].get("policy", ""),
    }
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
    return space.state / "checkpoints" / "train" / key


def resume_id(space: Workspace, settings: Settings) -> str:
    """The MLflow run of the interrupted training, or "" when there is none.

    With FALCON_FRESH=1 (a forced run) the checkpoints of an earlier training are removed first.
    """
    from falcon.training import saved_run_id

    folder = checkpoint_folder(space, settings)
    if os.environ.get("FALCON_FRESH") == "1":
        shutil.rmtree(folder, ignore_errors=True)
    return saved_run_id(folder) or "" if folder.is_dir() else ""


def clean_up(space: Workspace, settings: Settings) -> None:
    """Remove the checkpoints of this training, and the oldest of others."""
    folder = checkpoint_folder(space, settings)
    shutil.rmtree(folder, ignore_errors=True)
    others = sorted(folder.parent.glob("*"), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in others[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def run(stage: Stage) -> StageResult:
    """Writes ``policy/`` (adapter and tokenizer), ``memory/``, its page, ``curves.csv`` and
    ``lineage.json``: what the policy descends from."""
    from falcon.memory.report import write_report
    from falcon.problems import read_problems
    from falcon.training import TrainingFolders, last_policy, train

    space, settings = stage.space, stage.settings
    start = start_adapter(space, settings)
    problems = read_problems(space.output("prepare") / "problems.parquet")
    checkpoints = checkpoint_folder(space, settings)
    checkpoints.mkdir(parents=True, exist_ok=True)
    folder, source = stage.out / "memory", space.output("rollout") / "memory"
    with open_memory(space, settings, folder, writable=True, copy_of=source) as memory:
        before = len(memory)
        with launched(space.state, settings.machine.processes):
            result = train(
                settings,
                problems,
                memory=memory,
                folders=TrainingFolders(stage.out, checkpoints, start),
                monitor=stage.monitor,
                run_id=stage.run.id,
            )
        size = len(memory)
        stage.digests["memory.digest"] = memory.digest()
        _write_lineage(stage, problems, memory)
        write_report(memory, stage.out / "memory.html", "Memory after training")
    stage.folders |= {"memory": folder, "checkpoints/best": result.policy}
    stage.digests["policy.md5"] = path_md5(result.policy)
    # Those of the training itself are removed when it has ended well.
    if (last := last_policy(checkpoints)) is not None:
        stage.folders["checkpoints/last"] = last
        stage.digests["policy.last.md5"] = path_md5(last)
    pages = [stage.out / name for name in ("lineage.json", "memory.html")]
    stage.artifacts += [result.curves, *pages]
    report = _check(stage, result.curves, result.policy, grown=size > before)
    metrics = {**result.metrics, "experiences": float(size), "added": float(size - before)}
    return StageResult(metrics, report)


def _write_lineage(stage: Stage, problems: Sequence[Problem], memory: LongTermMemory) -> None:
    """What the model descends from, and all problems that it or an ancestor has learnt from."""
    from falcon.problems.trained_on import TrainedOn, statement_digest

    adapter, card = read_start(stage.space)
    if start_adapter(stage.space, stage.settings) is None:
        adapter, card = None, {"version": "", "policy": ""}
    learnt = TrainedOn.of(problems)
    if adapter is not None:
        learnt |= trained_on(adapter.parent)
    # A memory that a refused run left may hold problems of none of these.
    learnt |= TrainedOn(
        frozenset(e.problem_id for e in memory), frozenset(statement_digest(e.task) for e in memory)
    )
    lineage = {"start": card, "trained_on": learnt.as_json()}
    write_json(stage.out / "lineage.json", lineage)


def dry_run(space: Workspace, settings: Settings) -> DeviceMemory:
    """The memory that a training takes, of its largest batches run once; nothing is trained.

    Raises UserError when there are no problems yet, or where it does not fit.
    """
    from falcon.problems import read_problems
    from falcon.training import dry_run as check_memory

    file, source = space.output("prepare") / "problems.parquet", space.output("rollout") / "memory"
    if not file.is_file():
        raise UserError("no problems here yet.", hint="falcon stage prepare")
    if not source.is_dir():
        return check_memory(settings, read_problems(file))
    # In the stage, the memory and its index are loaded beside the model; so they are here.
    with open_memory(space, settings, source) as memory:
        memory.recall("x", k=1, min_similarity=-1)
        return check_memory(settings, read_problems(file))


def run_other_rank(space: Workspace, settings: Settings) -> None:
    """What every process but the first does: the same training, on a memory of its own.

    Nothing of it is kept: the first process writes the checkpoints and the results.
    """
    from falcon.memory import LongTermMemory, make_encoder
    from falcon.monitor import SilentMonitor
    from falcon.problems import read_problems
    from falcon.training import TrainingFolders, train

    room = space.state / "processes" / f"train-{rank()}"
    shutil.rmtree(room, ignore_errors=True)
    shutil.copytree(space.output("rollout") / "memory", room / "memory")
    # One process alone may write an index, so each has its own and none uses the shared server.
    own = settings.changed({"machine.server": ""})
    with LongTermMemory.open(
        room / "memory",
        make_encoder(settings.memory.encoder),
        writable=True,
        index=room / "index",
        settings=own,
    ) as memory:
        train(
            settings,
            read_problems(space.output("prepare") / "problems.parquet"),
            memory=memory,
            folders=TrainingFolders(
                room / "out", checkpoint_folder(space, settings), start_adapter(space, settings)
            ),
            monitor=SilentMonitor(),
        )
    shutil.rmtree(room)


def expectations() -> Suites:
    """Curves: every figure finite; tampering rare; all steps there."""
    return {
        "curves": [rows(), unique("step"), among("not_finite", NONE)],
        "facts": [
            # The mean of all steps: one step has too few programs for a share to mean much.
            between("tamper_rate", 0.0, TAMPERING, "warning"),
            among("missing_steps", NONE),
            among("adapter_saved", [True]),
            among("weights_not_finite", NONE),
            among("memory_grew", [True], "warning"),
        ],
    }


def _check(stage: Stage, curves: Path, policy: Path, *, grown: bool) -> CheckReport:
    """The data checks of a training: finite curves, all steps, an adapter of finite weights."""
    import pandas as pd

    frame, adapter = pd.read_csv(curves), policy / "adapter_model.safetensors"
    facts = {
        "missing_steps": named(sorted(set(range(stage.settings.train.steps)) - set(frame["step"]))),
        "adapter_saved": adapter.is_file(),
        "weights_not_finite": named(_not_finite(adapter)) if adapter.is_file() else "",
        "memory_grew": grown,
        "tamper_rate": float(frame["tamper_rate"].mean()),
    }
    tables = {"curves": finite_rows(frame), "facts": pd.DataFrame([facts])}
    return validate("train", tables, expectations(), docs=stage.docs)


def finite_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Add ``not_finite``: the names of losses and rewards that are missing or not finite, and of
    other columns that are infinite; "" where there is none."""
    numbers = frame.select_dtypes("number")
    names = [str(column) for column in numbers]
    needed = np.array([n.startswith(("loss/", "reward/")) for n in names])
    values = numbers.to_numpy(dtype=float)  # [steps, columns]
    bad = np.isinf(values) | (np.isnan(values) & needed)
    return frame.assign(not_finite=[named(np.array(names)[row]) for row in bad])


def _not_finite(file: Path) -> list[str]:
    """Names of the weights that are not finite."""
    from safetensors.numpy import load_file

    return [name for name, tensor in load_file(file).items() if not np.isfinite(tensor).all()]
