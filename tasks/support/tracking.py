"""Tracking: what a run did, on record in MLflow.

Every call names its run, so threads, children and resumed runs never mix. A call that cannot
be made is kept and replayed (``offline_queue.py``): an outage of the tracker never stops work.
In the registry (``registry.py``) a failure is a failure.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from falcon.config import Settings
from falcon.errors import without_passwords
from tasks.support.errors import CallRejected
from tasks.support.mlflow_store import (
    database_file,
    import_mlflow,
    prepare_database,
    tracking_uri,
)
from tasks.support.offline_queue import Call, OfflineQueue, RunIds, RunWaits
from tasks.support.run_identity import identity_tags
from tasks.support.system_metrics import SYSTEM, sampled
from tasks.support.tracker_faults import connect_once
from tasks.support.workspace import Workspace

Status = Literal["FINISHED", "FAILED", "KILLED"]

_console = Console(stderr=True)
_REJECTIONS = frozenset({"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST"})
OURS = "falcon.run"
"""Tag with our own id of a run, by which one is found that was created without our knowing."""

_BATCH = 90
"""Entries of one request; MLflow takes at most 100 parameters or tags."""


class Tracker:
    """The tracker of a workspace: creates runs, and makes or keeps their calls."""

    def __init__(self, settings: Settings, space: Workspace, *, pause: float = 30.0) -> None:
        self.uri = tracking_uri(settings, space)
        self.space = space
        self._experiment = settings.tracking.experiment
        self._experiment_id = ""
        self._client: Any = None
        folder = space.state / "spool"
        self.run_ids = RunIds(folder / "ids")
        address = without_passwords(self.uri)
        self.queue = OfflineQueue(folder, self._make, self._warn, tracker=address, pause=pause)
        prepare_database(self.uri, space.state)

    def _warn(self, text: str) -> None:
        _console.print(
            f"MLflow: {text}", style="yellow", markup=False, highlight=False, soft_wrap=True
        )

    @property
    def client(self) -> Any:
        """An MlflowClient of the tracker. Not guarded: the caller handles what it raises."""
        if self._client is None:
            connect_once(self.uri)
            self._client = import_mlflow().MlflowClient(self.uri)
        return self._client

    def experiment_id(self) -> str:
        """The experiment, created on first use. Not guarded."""
        if not self._experiment_id:
            experiment = self.client.get_experiment_by_name(self._experiment)
            if experiment is None:
                self._create_experiment()
                experiment = self.client.get_experiment_by_name(self._experiment)
            self._experiment_id = experiment.experiment_id
        return self._experiment_id

    def _create_experiment(self) -> None:
        file = database_file(self.uri)
        home = (file.parent.absolute() / "mlartifacts").as_uri() if file else None
        try:
            self.client.create_experiment(self._experiment, artifact_location=home)
        except Exception as fault:
            # Another process may have been first; anything else is an outage.
            if "already exists" not in str(fault).lower() and "UNIQUE" not in str(fault):
                raise

    def create_run(self, name: str, tags: Mapping[str, str], parent: str = "") -> TrackedRun:
        """A new run, a child of ``parent`` when given. During an outage its id is provisional."""
        ours = self.run_ids.provisional()
        tags = {**identity_tags(self.space.root, tags), **tags}
        call = {
            "op": "create", "run": ours, "name": name, "tags": tags, "parent": parent,
            "time": _now(),
        }  # fmt: skip
        self.queue.submit(call)
        return TrackedRun(self, self.run_ids.known(ours))

    def reopen(self, run: str) -> TrackedRun:
        """A run that goes on: its status is RUNNING again."""
        self.queue.submit({"op": "reopen", "run": run})
        return TrackedRun(self, run)

    def _make(self, call: Call) -> None:
        """Make one call. Raises CallRejected for a final answer, anything else for an outage."""
        from mlflow.exceptions import MlflowException

        try:
            if call["op"] == "create":
                self._create(call)
            elif "files" in call:
                with self.queue.files.tree(call["files"]) as folder:
                    run = self.run_ids.real(call["run"])
                    self.client.log_artifacts(run, str(folder), call["to"] or None)
            else:
                _CALLS[call["op"]](self.client, self.run_ids.real(call["run"]), call)
        except MlflowException as fault:
            if fault.error_code in _REJECTIONS and self._is_right():
                raise CallRejected(fault.message) from fault
            raise
        except KeyError as fault:
            run = str(fault.args[0])
            # Its creation waits, perhaps in the file of the process that started this one. Another
            # process may also have created it since we looked, so its id is looked up once more.
            if self.queue.creates(run) or self.run_ids.known(run) != run:
                raise RunWaits(f"the creation of run {run} waits") from fault
            raise CallRejected(f"unknown run {run}") from fault

    def _is_right(self) -> bool:
        """Whether the tracker as a whole can take calls, so that one it refuses is at fault."""
        try:
            experiment = self.client.get_experiment_by_name(self._experiment)
        except Exception:  # noqa: BLE001 - a wrong address, a driver: the call waits for its mending
            return False
        return experiment is None or experiment.lifecycle_stage == "active"

    def _create(self, call: Call) -> None:
        if self.run_ids.known(call["run"]) != call["run"] or self._was_created(call):
            return
        tags = {**call["tags"], OURS: call["run"]}
        if call["parent"]:
            tags["mlflow.parentRunId"] = self.run_ids.real(call["parent"])
        run = self.client.create_run(
            self.experiment_id(), start_time=call["time"], tags=tags, run_name=call["name"]
        )
        self.run_ids.learn(call["run"], run.info.run_id)

    def _was_created(self, call: Call) -> bool:
        """Whether an earlier try of a call that was kept did reach the tracker."""
        if "kept" not in call:
            return False
        wanted = f"tags.`{OURS}` = '{call['run']}'"
        for run in self.client.search_runs([self.experiment_id()], wanted, max_results=1):
            self.run_ids.learn(call["run"], run.info.run_id)
            return True
        return False


@dataclass(frozen=True)
class TrackedRun:
    """One run. Every method makes its call or keeps it, and never raises for an outage."""

    tracker: Tracker
    id: str

    def _submit(self, op: str, **values: Any) -> None:
        self.tracker.queue.submit({"op": op, "run": self.id, **values})

    def _batch(self, step: int = 0, **values: Mapping[str, Any]) -> None:
        empty: dict[str, Any] = {"metrics": {}, "params": {}, "tags": {}}
        self._submit("batch", time=_now(), step=step, **(empty | values))

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log metrics of a step (one call)."""
        self._batch(step, metrics={metric_name(k): float(v) for k, v in values.items()})

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; values are cut at 500 characters."""
        self._batch(params={key: str(value)[:500] for key, value in values.items()})

    def tags(self, values: Mapping[str, Any]) -> None:
        """Set tags."""
        self._batch(tags={key: str(value)[:4000] for key, value in values.items()})

    def artifact(self, path: Path, to: str = "") -> None:
        """Upload a file or the files of a folder under the artifact path ``to``."""
        self._submit("artifact", path=str(path.absolute()), to=to)

    def dataset(self, name: str, digest: str, source: str, context: str) -> None:
        """Name a data set as input; ``digest`` is searchable (``dataset.digest = '...'``)."""
        self._submit("dataset", name=name, digest=digest[:36], source=source, context=context)

    def end(self, status: Status) -> None:
        """Give the run its last status."""
        self._submit("end", status=status, time=_now())

    def system_metrics(
        self, *, resumed: bool = False, interval: float = 10.0
    ) -> AbstractContextManager[None]:
        """Processor, memory, disk and accelerator figures while the block runs (a thread)."""
        return sampled(self.metrics, self._next_system_step() if resumed else 0, interval)

    def _next_system_step(self) -> int:
        try:
            metrics = self.tracker.client.get_run(self.id).data.metrics
            history = [
                self.tracker.client.get_metric_history(self.id, name)[-1].step
                for name in metrics
                if name.startswith(SYSTEM)
            ]
        except Exception:  # noqa: BLE001 - the tracker is away: the steps begin anew
            return 0
        return max(history, default=-1) + 1


def metric_name(key: str) -> str:
    """A key as MLflow takes it: "pass@1" becomes "pass_at_1", other signs "_"."""
    return re.sub(r"[^\w\-./ :]", "_", key.replace("@", "_at_"))


def _now() -> int:
    return time.time_ns() // 1_000_000  # milliseconds, as MLflow counts


def _batch(client: Any, run: str, call: Call) -> None:
    from mlflow.entities import Metric, Param, RunTag

    at, step = call["time"], call["step"]
    metrics = [Metric(key, value, at, step) for key, value in call["metrics"].items()]
    params = [Param(key, value) for key, value in call["params"].items()]
    tags = [RunTag(key, value) for key, value in call["tags"].items()]
    for start in range(0, max(len(metrics), len(params), len(tags)), _BATCH):
        part = slice(start, start + _BATCH)
        client.log_batch(run, metrics=metrics[part], params=params[part], tags=tags[part])


def _artifact(client: Any, run: str, call: Call) -> None:
    path = Path(call["path"])
    if not path.exists():
        raise CallRejected(f"{path} is gone")
    if path.is_dir():
        client.log_artifacts(run, str(path), call["to"])
    else:
        client.log_artifact(run, str(path), call["to"] or None)


def _dataset(client: Any, run: str, call: Call) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data = Dataset(call["name"], call["digest"], source_type="dvc", source=call["source"])
    client.log_inputs(run, [DatasetInput(data, [InputTag("mlflow.data.context", call["context"])])])


_CALLS: dict[str, Callable[[Any, str, Call], None]] = {
    "reopen": lambda client, run, call: client.update_run(run, status="RUNNING"),
    "batch": _batch,
    "artifact": _artifact,
    "dataset": _dataset,
    "end": lambda client, run, call: client.set_terminated(run, call["status"], call["time"]),
}
"""How each ``op`` of a call but ``create`` is made; ``run`` is the tracker's own id."""
