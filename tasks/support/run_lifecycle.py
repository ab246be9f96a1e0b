"""Life of an MLflow run: opened, closed by how its work ended, and marked when it crashed."""

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from falcon.config import Settings, leaves
from falcon.errors import without_passwords
from tasks.support.dvc import data_version
from tasks.support.errors import Killed
from tasks.support.files import write_json
from tasks.support.lifetime import ProcessId
from tasks.support.provenance import patch_file, provenance, write_start
from tasks.support.run_identity import run_name
from tasks.support.tracking import Status, TrackedRun, Tracker
from tasks.support.workspace import Workspace


def _raise_killed(number: int, frame: FrameType | None) -> None:
    raise Killed(128 + number)


@contextmanager
def closing(run: TrackedRun) -> Iterator[None]:
    """End ``run`` as FINISHED, FAILED or KILLED by how the block ends.

    SIGTERM becomes :class:`Killed` inside the block (in the main thread). A process that is
    killed outright cannot report that, so the file ``state/active/RUN.json`` says which process
    the run belongs to; :func:`mark_crashed_runs` reads it later.
    """
    lease = run.tracker.space.state / "active" / f"{run.id}.json"
    write_json(lease, ProcessId.here().as_json())
    try:
        before = signal.signal(signal.SIGTERM, _raise_killed)
    except ValueError:  # not the main thread: whoever owns that handles signals
        before = None
    status: Status = "FAILED"
    error = ""
    try:
        yield
        status = "FINISHED"
    except BaseException as fault:
        if not isinstance(fault, Exception):  # KeyboardInterrupt and SystemExit, so Killed too
            status = "KILLED"
        error = without_passwords(f"{type(fault).__name__}: {fault}")[:1000]
        raise
    finally:
        if (
            before is not None
        ):  # a second SIGTERM, as of who sees our owner gone, must not cut this short
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            if error:
                run.tags({"error": error})
            # The lease goes last: killed in between, a later process still finds the run. It does
            # so, too, where a full disk may have swallowed the run's end.
            run.end(status)
            if not run.tracker.queue.lost:
                lease.unlink(missing_ok=True)
        finally:
            if before is not None:
                signal.signal(signal.SIGTERM, before)


def mark_crashed_runs(tracker: Tracker, resumed: str = "") -> list[str]:
    """Mark runs, but not ``resumed``, whose process on this host is gone as KILLED; their ids."""
    crashed = []
    for lease in sorted((tracker.space.state / "active").glob("*.json")):
        try:
            owner = ProcessId.of(json.loads(lease.read_text(encoding="utf-8")))
        except FileNotFoundError:  # another process was faster
            continue
        if not owner.is_dead:
            continue
        if lease.stem != resumed:
            tracker.reopen(lease.stem).end("KILLED")
            crashed.append(lease.stem)
        lease.unlink(missing_ok=True)
    return crashed


@contextmanager
def pipeline_run(space: Workspace, name: str, settings: Settings) -> Iterator[TrackedRun]:
    """The MLflow run that is the parent of a flow's stages, closed by how the block ends."""
    tracker = Tracker(settings, space)
    tracker.queue.replay()
    mark_crashed_runs(tracker)
    found = provenance(space.root, settings)
    called = run_name(name, settings, space.root)
    run = tracker.create_run(called, {"stage": "pipeline", **found})
    with closing(run):
        log_patch(run, found)
        yield run


@contextmanager
def stage_run(
    tracker: Tracker, name: str, settings: Settings, resume: str = ""
) -> Iterator[TrackedRun]:
    """The MLflow run of a stage, closed by how the block ends.

    A child of FALCON_PARENT_RUN_ID when that is set. ``resume`` is the run to go on with.
    """
    mark_crashed_runs(tracker, resume)
    root = tracker.space.root
    found = provenance(root, settings)
    if resume:
        run = tracker.reopen(resume)
        run.tags({"resumed": datetime.now(UTC).isoformat(timespec="seconds")})
    else:
        tags = {"stage": name, **found}
        parent = os.environ.get("FALCON_PARENT_RUN_ID", "")
        run = tracker.create_run(run_name(name, settings, root), tags, parent)
    write_start(tracker.space, name, run.id, found)
    with closing(run), run.system_metrics(resumed=bool(resume)):
        run.params(leaves(settings.model_dump(mode="json", exclude={"tracking"})))
        log_data(run, root, "training" if name in ("prepare", "train") else name)
        log_patch(run, found)
        yield run


def log_data(run: TrackedRun, root: Path, context: str) -> None:
    """Name the data version as input of a run, where there is one."""
    if (root / "data.dvc").is_file():
        version = data_version(root)
        run.dataset("data", version, json.dumps({"path": "data.dvc", "md5": version}), context)
        run.params({"dvc.data.md5": version})


def log_patch(run: TrackedRun, found: Mapping[str, str]) -> None:
    """Keep the code that was not committed as ``code.patch`` of the run, where there is any."""
    if (file := patch_file(run.tracker.space.root, found)) is not None:
        run.artifact(file)
