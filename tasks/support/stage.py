"""Stage: what every stage does around its work, whoever started it.

Settings are read, an MLflow run is opened (the same one again when training resumes), the
body runs, its results are checked and written, and a marker says which run made them. A run
that fails or is killed says so. Bodies are in the file of their stage; DVC calls
``python -m tasks STAGE`` and nothing else does.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from falcon.config import Settings
from falcon.errors import UserError
from falcon.monitor import Advance, ConsoleMonitor
from tasks.support import dvc
from tasks.support.checks import CheckReport
from tasks.support.processes import rank
from tasks.support.tracking import Status, TrackedRun, Tracker, flatten
from tasks.support.workspace import (
    STAGES,
    Workspace,
    read_json,
    settings_hash,
    write_json,
    write_text,
)

TIME = "time/"
"""Metrics of this prefix are seconds: tracked, but kept out of DVC's outputs."""


class Killed(SystemExit):
    """SIGTERM arrived; ends the process with 143 after the run was marked KILLED."""


class StageMonitor:
    """Progress on the console, metrics of each step to the run."""

    def __init__(self, run: TrackedRun) -> None:
        self._run = run
        self._console = ConsoleMonitor()

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Send the metrics of a step to MLflow."""
        self._run.metrics(metrics, step)

    def progress(self, description: str, total: int) -> AbstractContextManager[Advance]:
        """Bars or lines on standard error."""
        return self._console.progress(description, total)


@dataclass
class Stage:
    """What a body works with."""

    name: str
    space: Workspace
    settings: Settings
    run: TrackedRun
    monitor: StageMonitor
    artifacts: list[Path] = field(default_factory=list)

    @property
    def out(self) -> Path:
        """Folder of the stage's results."""
        folder = self.space.output(self.name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def docs(self) -> Path:
        """Folder of the stage's Data Docs, of the last run only."""
        folder = self.space.state / "data_docs" / self.name
        shutil.rmtree(folder, ignore_errors=True)
        return folder


@dataclass(frozen=True)
class StageResult:
    """What a body gives back: its metrics (``time/...`` in seconds) and its checks."""

    metrics: Mapping[str, float]
    checks: CheckReport


def run_stage(name: str) -> None:
    """Run one stage in this process. Raises UserError for an unknown one, GateFailed by its checks."""
    if name not in STAGES:
        raise UserError(f"unknown stage `{name}`.", hint=f"Stages: {', '.join(STAGES)}.")
    space = Workspace.here()
    os.chdir(space.root)
    settings = space.stage_settings()
    space.require_room()
    require_inputs(space, name)
    module = importlib.import_module(f"tasks.{name}")
    follow: Callable[[Workspace, Settings], None] | None = getattr(module, "follow", None)
    if follow is not None and rank() > 0:
        follow(space, settings)
        return
    body: Callable[[Stage], StageResult] = module.body
    resume: Callable[[Workspace, Settings], str | None] = getattr(module, "resume_id", _none)
    tracker = Tracker(settings, space)
    tracker.spool.replay()
    started = time.monotonic()
    with stage_run(tracker, name, settings, resume(space, settings) or "") as run:
        stage = Stage(name, space, settings, run, StageMonitor(run))
        result = body(stage)
        _finish(stage, result, time.monotonic() - started)
    done = getattr(module, "done", None)
    if done is not None:
        done(space, settings)


def require_inputs(space: Workspace, stage: str) -> None:
    """Raise UserError when results of earlier stages that ``dvc.yaml`` names are not there, or
    failed their checks.

    ``dvc repro STAGE`` sees to that itself; this is for one stage alone: ``falcon stage``, ``dvc
    repro -s``, or ``python -m tasks STAGE`` typed by hand.
    """
    read = [p for p in dvc.dependencies(space.root, stage) if p.startswith("outputs/")]
    for path in read:
        if not (space.root / path).exists():
            raise UserError(
                f"{path} is not there, which `{stage}` reads.",
                hint=f"Run `dvc repro {stage}`, which makes it first.",
            )
    sources = {path.split("/")[1]: path for path in reversed(read)}
    for earlier, path in sources.items():
        report = space.output(earlier) / "checks.json"
        if not report.is_file() or (said := read_json(report))["passed"]:
            continue
        told = said["failures"][0] if said["failures"] else "nothing was checked"
        raise UserError(
            f"`{stage}` reads {path}, and the checks of `{earlier}` failed: {told}.",
            hint=f"Mend that and run `falcon stage {earlier}` again.",
        )


def _none(space: Workspace, settings: Settings) -> str | None:
    return None


def _finish(stage: Stage, result: StageResult, seconds: float) -> None:
    times = {k.removeprefix(TIME): v for k, v in result.metrics.items() if k.startswith(TIME)}
    kept = {k: _finite(v) for k, v in result.metrics.items() if not k.startswith(TIME)}
    write_json(stage.out / "metrics.json", kept)
    write_json(stage.out / "checks.json", result.checks.as_json())
    stage.run.metrics({**result.metrics, "time/stage": seconds})
    stage.run.tags(
        {
            "checks": "passed" if result.checks.passed else "failed",
            "checks.evaluated": len(result.checks.checks),
            "checks.warnings": len(result.checks.warnings),
        }
    )
    for path in (stage.out / "metrics.json", stage.out / "checks.json", *stage.artifacts):
        stage.run.artifact(path, stage.name)
    result.checks.raise_if_failed()
    write_marker(stage, seconds, times)


def _finite(value: float) -> float | int | None:
    if isinstance(value, (bool, int)):
        return int(value)
    return float(value) if math.isfinite(value) else None


# -- the run ---------------------------------------------------------------------------


def _terminated(number: int, frame: FrameType | None) -> None:
    raise Killed(128 + number)


@contextmanager
def closing(run: TrackedRun) -> Iterator[None]:
    """End ``run`` as FINISHED, FAILED or KILLED by how the block ends, and leave a lease.

    The lease in ``state/active`` lets a later process see that this one died without a word.
    SIGTERM becomes :class:`Killed` inside the block (in the main thread).
    """
    lease = run.tracker.space.state / "active" / f"{run.id}.json"
    write_json(
        lease, {"pid": os.getpid(), "born": _born(os.getpid()), "host": socket.gethostname()}
    )
    try:
        before = signal.signal(signal.SIGTERM, _terminated)
    except ValueError:  # not the main thread: whoever owns it deals with signals
        before = None
    status: Status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except BaseException as fault:
        if not isinstance(fault, Exception):  # interrupts and termination are no exceptions
            status = "KILLED"
        run.tags({"error": f"{type(fault).__name__}: {fault}"[:1000]})
        raise
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
        run.end(status)
        lease.unlink(missing_ok=True)


def _born(pid: int) -> float:
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return 0.0


def bury_dead(tracker: Tracker, spare: str = "") -> list[str]:
    """Mark runs whose process on this host is gone as KILLED, all but ``spare``; give their ids."""
    buried = []
    for lease in sorted((tracker.space.state / "active").glob("*.json")):
        try:
            said = json.loads(lease.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        if said["host"] != socket.gethostname() or abs(_born(said["pid"]) - said["born"]) < 1:
            continue
        if lease.stem != spare:
            tracker.reopen(lease.stem).end("KILLED")
            buried.append(lease.stem)
        lease.unlink(missing_ok=True)
    return buried


@contextmanager
def stage_run(
    tracker: Tracker, name: str, settings: Settings, resume: str = ""
) -> Iterator[TrackedRun]:
    """The MLflow run of a stage, closed by how the block ends.

    A child of FALCON_PARENT_RUN_ID when that is set. ``resume`` is the run to go on with.
    """
    bury_dead(tracker, resume)
    root = tracker.space.root
    parent = os.environ.get("FALCON_PARENT_RUN_ID", "")
    tags = {"stage": name, **provenance(root, settings)}
    if resume:
        run = tracker.reopen(resume)
        run.tags({"resumed": datetime.now(UTC).isoformat(timespec="seconds")})
    else:
        run = tracker.create_run(name, tags, parent)
    with closing(run), run.system_metrics(resumed=bool(resume)):
        run.params(flatten(settings.model_dump(mode="json", exclude={"tracking"})))
        log_data(run, root, "training" if name in ("prepare", "train") else name)
        yield run


def log_data(run: TrackedRun, root: Path, context: str) -> None:
    """Name the data version as input of a run, where there is one."""
    if (root / "data.dvc").is_file():
        version = dvc.data_version(root)
        run.dataset("data", version, json.dumps({"path": "data.dvc", "md5": version}), context)
        run.params({"dvc.data.md5": version})


def provenance(root: Path, settings: Settings) -> dict[str, str]:
    """Git commit (with ``-dirty``), data version, settings hash and profile, as tags."""
    data = dvc.data_version(root) if (root / "data.dvc").is_file() else ""
    return {
        "git.commit": git_commit(root),
        "dvc.data.md5": data,
        "settings.hash": settings_hash(settings),
        "profile": settings.profile,
    }


CODE = ("falcon", "tasks", "flows", "dvc.yaml", "params.yaml", "data.dvc")
"""What makes a commit dirty when it is changed. ``dvc.lock`` changes with every run."""


def git_commit(root: Path) -> str:
    """The commit of the workspace, ``-dirty`` when code or settings differ; "" without git."""
    if shutil.which("git") is None:
        return ""

    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        asked = ["git", "-C", str(root), *words]
        return subprocess.run(asked, capture_output=True, text=True, check=False)

    commit = ask("rev-parse", "--verify", "HEAD")
    if commit.returncode:
        return ""
    changed = ask("status", "--porcelain", "--", *CODE).stdout.strip()
    return commit.stdout.strip() + ("-dirty" if changed else "")


# -- markers ---------------------------------------------------------------------------


def fingerprint(space: Workspace, stage: str) -> str:
    """sha256 over the small results of a stage; "" when they are not there."""
    digest = hashlib.sha256()
    for name in ("metrics.json", "checks.json"):
        path = space.output(stage) / name
        if not path.is_file():
            return ""
        digest.update(path.read_bytes())
    return digest.hexdigest()


def write_marker(stage: Stage, seconds: float, times: Mapping[str, float]) -> None:
    """Say which run made the results that lie there now."""
    file = stage.space.marker(stage.name)
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    key = fingerprint(stage.space, stage.name)
    known.pop(key, None)
    known[key] = {
        "run_id": stage.run.id,
        "parent_run_id": os.environ.get("FALCON_PARENT_RUN_ID", ""),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "seconds": seconds,
        "time": {key: value for key, value in times.items() if math.isfinite(value)},
        "settings": settings_hash(stage.settings),
    }
    # Newest last; sorted keys would lose the order, so this file is written as it is.
    latest = dict(list(known.items())[-20:])
    write_text(file, json.dumps(latest, indent=2) + "\n")


def read_marker(space: Workspace, stage: str) -> dict[str, Any]:
    """What is known of the run that made the stage's present results; empty when nothing is."""
    file = space.marker(stage)
    if not file.is_file():
        return {}
    known = json.loads(file.read_text(encoding="utf-8"))
    return dict(known.get(fingerprint(space, stage), {}))
