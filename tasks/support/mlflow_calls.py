"""MLflow calls: how a waiting call of the offline queue is made with an MLflow client.

``run`` is the tracker's own id. What a function raises is handled by ``tracking.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.support.errors import CallRejected
from tasks.support.offline_queue import Call

BATCH = 90
"""Entries of one request; MLflow takes at most 100 parameters or tags."""


def reopen(client: Any, run: str, call: Call) -> None:
    """Set the status to RUNNING again."""
    client.update_run(run, status="RUNNING")


def batch(client: Any, run: str, call: Call) -> None:
    """Log metrics, parameters and tags."""
    from mlflow.entities import Metric, Param, RunTag

    metrics = [
        Metric(key, value, call["time"], call["step"]) for key, value in call["metrics"].items()
    ]
    params = [Param(key, value) for key, value in call["params"].items()]
    tags = [RunTag(key, value) for key, value in call["tags"].items()]
    for start in range(0, max(len(metrics), len(params), len(tags)), BATCH):
        part = slice(start, start + BATCH)
        client.log_batch(run, metrics=metrics[part], params=params[part], tags=tags[part])


def artifact(client: Any, run: str, call: Call) -> None:
    """Upload a file, or the files of a folder."""
    path = Path(call["path"])
    if not path.exists():
        raise CallRejected(f"{path} is gone")
    if path.is_dir():
        client.log_artifacts(run, str(path), call["to"])
    else:
        client.log_artifact(run, str(path), call["to"] or None)


def dataset(client: Any, run: str, call: Call) -> None:
    """Name a data set as input."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data = Dataset(
        name=call["name"], digest=call["digest"], source_type="dvc", source=call["source"]
    )
    client.log_inputs(run, [DatasetInput(data, [InputTag("mlflow.data.context", call["context"])])])


def end(client: Any, run: str, call: Call) -> None:
    """Set the last status."""
    client.set_terminated(run, call["status"], call["time"])


CALLS: dict[str, Callable[[Any, str, Call], None]] = {
    call.__name__: call for call in (reopen, batch, artifact, dataset, end)
}
"""By the call's ``op``; ``create`` needs more than a client and is in ``tracking.py``."""
