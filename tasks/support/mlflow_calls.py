"""MLflow calls: how a call of the offline queue is made with an MLflow client.

``run`` is the tracker's own id. ``tracking.py`` handles what a function raises.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.support.errors import CallRejected
from tasks.support.offline_queue import Call

BATCH = 90
"""Entries of one request; MLflow takes at most 100 parameters or tags."""


def _reopen(client: Any, run: str, call: Call) -> None:
    client.update_run(run, status="RUNNING")


def _batch(client: Any, run: str, call: Call) -> None:
    from mlflow.entities import Metric, Param, RunTag

    at, step = call["time"], call["step"]
    metrics = [Metric(key, value, at, step) for key, value in call["metrics"].items()]
    params = [Param(key, value) for key, value in call["params"].items()]
    tags = [RunTag(key, value) for key, value in call["tags"].items()]
    for start in range(0, max(len(metrics), len(params), len(tags)), BATCH):
        part = slice(start, start + BATCH)
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


def _end(client: Any, run: str, call: Call) -> None:
    client.set_terminated(run, call["status"], call["time"])


CALLS: dict[str, Callable[[Any, str, Call], None]] = {
    "reopen": _reopen,
    "batch": _batch,
    "artifact": _artifact,
    "dataset": _dataset,
    "end": _end,
}
"""By the ``op`` of a call; ``create`` needs more than a client and is in ``tracking.py``."""
