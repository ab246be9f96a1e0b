"""Stage: what every stage does around its own work, whoever started it.

It reads the settings, opens an MLflow run (the same one again when training resumes), calls
``run`` of the stage's file, writes and checks the results, and records which run made them. DVC
calls ``python -m tasks STAGE`` and nothing else does.
"""

import importlib
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from falcon.config import Settings
from falcon.errors import UserError
from falcon.monitor import Advance, ConsoleMonitor, Monitor, RelayMonitor
from falcon.monitor.relay import RELAY
from tasks.support.check_report import CheckReport
from tasks.support.dvc import dependencies
from tasks.support.files import read_json, write_json
from tasks.support.preflight import examine_tracker
from tasks.support.processes import launch, rank
from tasks.support.provenance import write_marker
from tasks.support.run_lifecycle import stage_run
from tasks.support.stage_inputs import StageInputs
from tasks.support.tracking import TrackedRun, Tracker
from tasks.support.workspace import Workspace, require_stage

TIME = "time/"
"""Metrics of this prefix are seconds: tracked, but kept out of DVC's outputs."""


class StageMonitor:
    """Progress goes to the console, or to the process that shows it; metrics of each step go to
    the run."""

    def __init__(self, run: TrackedRun) -> None:
        relays = os.environ.get(RELAY) == "relay"
        self._shown: Monitor = RelayMonitor() if relays else ConsoleMonitor()
        self._run = run

    def progress(
        self, description: str, total: int, done: int = 0
    ) -> AbstractContextManager[Advance]:
        """A piece of work."""
        return self._shown.progress(description, total, done)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Send the metrics of a step to MLflow."""
        self._run.metrics(metrics, step)


@dataclass
class Stage:
    """What the ``run`` of a stage works with."""

    name: str
    space: Workspace
    settings: Settings
    run: TrackedRun
    monitor: StageMonitor
    artifacts: list[Path] = field(default_factory=list)
    folders: dict[str, Path] = field(default_factory=dict)
    """Folders of artifacts by their path among those of the stage."""
    digests: dict[str, str] = field(default_factory=dict)
    """Digests of results by the name of their tag; they stay on record with the results."""

    @property
    def out(self) -> Path:
        """Folder of the stage's results."""
        folder = self.space.output(self.name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def docs(self) -> Path:
        """Folder of the stage's Data Docs, emptied: they are of the last run only."""
        folder = self.space.state / "data_docs" / self.name
        shutil.rmtree(folder, ignore_errors=True)
        return folder


@dataclass(frozen=True)
class StageResult:
    """What the ``run`` of a stage returns: metrics (``time/...`` in seconds) and checks."""

    metrics: Mapping[str, float]
    checks: CheckReport


def run_stage(name: str) -> None:
    """Run one stage in this process.

    Raises UserError for an unknown stage or missing inputs, ChecksFailed by its checks.
    """
    require_stage(name)
    space = Workspace.here()
    os.chdir(space.root)
    space.require_room()
    settings = space.stage_settings()
    require_inputs(space, name)
    inputs = StageInputs(space, name)
    inputs.require_recorded()
    if name == "train" and settings.machine.launcher and "WORLD_SIZE" not in os.environ:
        sys.exit(launch(settings.machine.launcher, space.state))
    module = importlib.import_module(f"tasks.{name}")
    if rank() > 0 and hasattr(module, "run_other_rank"):
        module.run_other_rank(space, settings)
        return
    run: Callable[[Stage], StageResult] = module.run
    if not os.environ.get("FALCON_PARENT_RUN_ID"):  # else the flow has looked
        examine_tracker(space, settings)
    tracker = Tracker(settings, space)
    tracker.queue.replay()
    started = time.monotonic()
    resume = module.resume_id(space, settings) if hasattr(module, "resume_id") else ""
    with stage_run(tracker, name, settings, resume) as tracked:
        stage = Stage(name, space, settings, tracked, StageMonitor(tracked))
        begun = time.monotonic()
        result = run(stage)
        worked = time.monotonic() - begun
        inputs.require_unchanged()
        with stage.monitor.progress("recording the results", 0):
            _finish(stage, result, {"work_s": worked, "stage": time.monotonic() - started})
    # Only after the run has ended well: a training's checkpoints are removed here.
    if hasattr(module, "clean_up"):
        module.clean_up(space, settings)


def require_inputs(space: Workspace, stage: str) -> None:
    """Raise UserError when results of earlier stages are missing or failed their checks.

    ``dvc repro STAGE`` makes them; this is for a stage alone (``falcon stage``, ``dvc repro -s``).
    """
    inputs = [p for p in dependencies(space.root, stage) if p.startswith("outputs/")]
    for path in inputs:
        if not (space.root / path).exists():
            raise UserError(
                f"{path} is not there, which `{stage}` reads.",
                hint=f"Run `dvc repro {stage}`, which makes it first.",
            )
        earlier = path.split("/")[1]
        file = space.output(earlier) / "checks.json"
        if file.is_file() and not (report := read_json(file))["passed"]:
            failure = report["failures"][0] if report["failures"] else "nothing was checked"
            raise UserError(
                f"`{stage}` reads {path}, and the checks of `{earlier}` failed: {failure}.",
                hint=f"Mend that and run `falcon stage {earlier}` again.",
            )


def _finish(stage: Stage, result: StageResult, spent: Mapping[str, float]) -> None:
    """Write and log the results. The marker comes last: failed checks leave none."""
    times = {k: v for k, v in result.metrics.items() if k.startswith(TIME)}
    times |= {f"{TIME}{name}": seconds for name, seconds in spent.items()}
    kept = {k: _finite(v) for k, v in result.metrics.items() if not k.startswith(TIME)}
    write_json(stage.out / "metrics.json", kept)
    write_json(stage.out / "checks.json", result.checks.as_json())
    stage.run.metrics({**result.metrics, **times})
    checks = result.checks
    numbers = {"checks.evaluated": len(checks.checks), "checks.warnings": len(checks.warnings)}
    state = "passed" if checks.passed else "failed"
    stage.run.tags({"checks": state, **numbers, **stage.digests})
    for path in (stage.out / "metrics.json", stage.out / "checks.json", *stage.artifacts):
        stage.run.artifact(path, stage.name)
    for name, folder in stage.folders.items():
        stage.run.artifact(folder, f"{stage.name}/{name}")
    stage.run.artifact(stage.space.state / "data_docs" / stage.name, f"{stage.name}/data_docs")
    result.checks.raise_if_failed()
    seconds = {kind.removeprefix(TIME): value for kind, value in times.items()}
    write_marker(stage.space, stage.name, stage.run.id, seconds, stage.digests)


def _finite(value: float) -> float | int | None:
    if isinstance(value, (bool, int)):
        return int(value)
    return float(value) if math.isfinite(value) else None
