"""Tracking: what a run did, on record in MLflow.

Every call names its run, so threads, children and resumed runs never mix. A call that
cannot be made is spooled and replayed (``spool.py``): an outage of the tracker never stops
work. The registry is elsewhere (``registry.py``), and there failures are failures.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from falcon.config import Settings
from falcon.errors import UserError
from tasks.support.offline_queue import Call, Names, Refused, Spool
from tasks.support.workspace import Workspace, write_text

Status = Literal["FINISHED", "FAILED", "KILLED"]

_console = Console(stderr=True)
_FINAL = frozenset({"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST"})


def import_mlflow() -> Any:
    """The installed mlflow. Raises UserError when only the folder ``mlflow/`` was found."""
    import mlflow

    if getattr(mlflow, "__file__", None) is None:
        raise UserError(
            "mlflow is not installed; the folder mlflow/ was imported in its place.",
            hint="Run `make venv`.",
        )
    return mlflow


def tracking_uri(settings: Settings, space: Workspace) -> str:
    """Where runs go: the setting, else MLFLOW_TRACKING_URI, else SQLite under ``state/``."""
    given = settings.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    return given or f"sqlite:///{space.state / 'mlflow.db'}"


def prepare_database(uri: str, state: Path) -> None:
    """Create or upgrade the tables of an SQLite tracker once, one process at a time.

    MLflow's own first use is not safe against several processes at once. Does nothing for
    other addresses and when it was done before with this version.
    """
    if not uri.startswith("sqlite:///"):
        return
    from importlib.metadata import version

    database = Path(uri.removeprefix("sqlite:///"))
    stamp, wanted = state / "mlflow.upgraded", f"{version('mlflow')} {uri}\n"
    state.mkdir(parents=True, exist_ok=True)
    database.parent.mkdir(parents=True, exist_ok=True)
    with (state / "mlflow.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        known = database.is_file()
        if known and stamp.is_file() and stamp.read_text() == wanted:
            return
        done = subprocess.run(
            [sys.executable, "-m", "mlflow", "db", "upgrade", uri],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            if not known:  # half its tables: the next start would take it for an old database
                database.unlink(missing_ok=True)
            told = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(
                f"{database}: MLflow cannot set up its tables ({told}).",
                hint="Move the file away to start anew, or set tracking.uri.",
            )
        write_text(stamp, wanted)


class Tracker:
    """The tracker of a workspace: creates runs and makes or spools calls."""

    def __init__(self, settings: Settings, space: Workspace, *, pause: float = 30.0) -> None:
        self.uri = tracking_uri(settings, space)
        self.space = space
        self._experiment = settings.tracking.experiment
        self._experiment_id = ""
        self._client: Any = None
        folder = space.state / "spool"
        self.names = Names(folder / "ids")
        self.spool = Spool(folder, self._do, self._warn, pause=pause)
        prepare_database(self.uri, space.state)

    def _warn(self, text: str) -> None:
        _console.print(f"MLflow: {text}", style="yellow", markup=False, highlight=False)

    @property
    def client(self) -> Any:
        """An MlflowClient of the tracker. Unguarded: what it raises is the caller's."""
        if self._client is None:
            self._client = import_mlflow().MlflowClient(self.uri)
        return self._client

    def experiment_id(self) -> str:
        """The experiment, created on first use. Unguarded."""
        if not self._experiment_id:
            found = self.client.get_experiment_by_name(self._experiment)
            if found is None:
                home = None
                if self.uri.startswith("sqlite:///"):
                    home = (self.space.state / "mlartifacts").as_uri()
                try:
                    self.client.create_experiment(self._experiment, artifact_location=home)
                except Exception as fault:
                    # Another process may have been first; anything else is an outage.
                    if "already exists" not in str(fault).lower() and "UNIQUE" not in str(fault):
                        raise
                found = self.client.get_experiment_by_name(self._experiment)
            self._experiment_id = found.experiment_id
        return self._experiment_id

    def create_run(self, name: str, tags: Mapping[str, str], parent: str = "") -> TrackedRun:
        """A new run, a child of ``parent`` when given. Provisional during an outage."""
        ours = self.names.provisional()
        call = {
            "op": "create", "run": ours, "name": name, "tags": dict(tags), "parent": parent,
            "time": _now(),
        }  # fmt: skip
        self.spool.submit(call)
        return TrackedRun(self, self.names.known(ours))

    def reopen(self, run: str) -> TrackedRun:
        """A run that goes on: its status is RUNNING again."""
        self.spool.submit({"op": "reopen", "run": run})
        return TrackedRun(self, run)

    def _do(self, call: Call) -> None:
        from mlflow.exceptions import MlflowException

        try:
            getattr(self, f"_do_{call['op']}")(call)
        except MlflowException as fault:
            if fault.error_code in _FINAL:
                raise Refused(fault.message) from fault
            raise
        except KeyError as fault:
            run = str(fault.args[0])
            # Its creation waits, perhaps in the spool of the process that started this one.
            if self.spool.makes(run) or self.names.known(run) != run:
                raise ConnectionError(f"the creation of run {run} waits") from fault
            raise Refused(f"unknown run {run}") from fault

    def _do_create(self, call: Call) -> None:
        tags = dict(call["tags"])
        if call["parent"]:
            tags["mlflow.parentRunId"] = self.names.real(call["parent"])
        run = self.client.create_run(
            self.experiment_id(), start_time=call["time"], tags=tags, run_name=call["name"]
        )
        self.names.learn(call["run"], run.info.run_id)

    def _do_reopen(self, call: Call) -> None:
        self.client.update_run(self.names.real(call["run"]), status="RUNNING")

    def _do_batch(self, call: Call) -> None:
        from mlflow.entities import Metric, Param, RunTag

        run = self.names.real(call["run"])
        metrics = [
            Metric(key, value, call["time"], call["step"]) for key, value in call["metrics"].items()
        ]
        params = [Param(key, value) for key, value in call["params"].items()]
        tags = [RunTag(key, value) for key, value in call["tags"].items()]
        for start in range(0, max(len(metrics), len(params), len(tags)), 90):
            part = slice(start, start + 90)
            self.client.log_batch(run, metrics=metrics[part], params=params[part], tags=tags[part])

    def _do_artifact(self, call: Call) -> None:
        path = Path(call["path"])
        if not path.exists():
            raise Refused(f"{path} is gone")
        run = self.names.real(call["run"])
        if path.is_dir():
            self.client.log_artifacts(run, str(path), call["to"])
        else:
            self.client.log_artifact(run, str(path), call["to"] or None)

    def _do_dataset(self, call: Call) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        data = Dataset(
            name=call["name"], digest=call["digest"], source_type="dvc", source=call["source"]
        )
        tags = [InputTag("mlflow.data.context", call["context"])]
        self.client.log_inputs(self.names.real(call["run"]), [DatasetInput(data, tags)])

    def _do_end(self, call: Call) -> None:
        self.client.set_terminated(self.names.real(call["run"]), call["status"], call["time"])


@dataclass(frozen=True)
class TrackedRun:
    """One run. Every method makes its call or spools it, and never raises for an outage."""

    tracker: Tracker
    id: str

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log metrics of a step (one call)."""
        self._batch(metrics={metric_name(k): float(v) for k, v in values.items()}, step=step)

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; values are cut at 500 characters."""
        self._batch(params={key: str(value)[:500] for key, value in values.items()})

    def tags(self, values: Mapping[str, Any]) -> None:
        """Set tags."""
        self._batch(tags={key: str(value)[:4000] for key, value in values.items()})

    def _batch(
        self,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        step: int = 0,
    ) -> None:
        call = {"op": "batch", "run": self.id, "time": _now(), "step": step}
        self.tracker.spool.submit(
            {**call, "metrics": metrics or {}, "params": params or {}, "tags": tags or {}}
        )

    def artifact(self, path: Path, to: str = "") -> None:
        """Upload a file or the files of a folder under the artifact path ``to``."""
        call = {"op": "artifact", "run": self.id, "path": str(path.absolute()), "to": to}
        self.tracker.spool.submit(call)

    def dataset(self, name: str, digest: str, source: str, context: str) -> None:
        """Name a data set as input; ``digest`` is searchable (``dataset.digest = '...'``)."""
        call = {"op": "dataset", "run": self.id, "name": name, "digest": digest[:36]}
        self.tracker.spool.submit({**call, "source": source, "context": context})

    def end(self, status: Status) -> None:
        """Give the run its last status."""
        self.tracker.spool.submit({"op": "end", "run": self.id, "status": status, "time": _now()})

    @contextmanager
    def system_metrics(self, *, resumed: bool = False, interval: float = 10.0) -> Iterator[None]:
        """Processor, memory, disk and accelerator figures while the block runs (a thread)."""
        if self.id.startswith("local-"):
            yield
            return
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)
        watch = SystemMetricsMonitor(
            self.id,
            sampling_interval=interval,
            resume_logging=resumed,
            tracking_uri=self.tracker.uri,
        )
        watch.start()
        try:
            yield
        finally:
            watch.finish()


def metric_name(key: str) -> str:
    """A key as MLflow takes it: "pass@1" becomes "pass_at_1", other signs "_"."""
    return re.sub(r"[^\w\-./ :]", "_", key.replace("@", "_at_"))


def _now() -> int:
    return time.time_ns() // 1_000_000


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value})
    return flat
