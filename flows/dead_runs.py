"""Dead runs: flow runs whose process was killed outright, which Prefect shows as running for ever.

While the body of a flow runs, ``state/flows/RUN.json`` says in which process. A later run, or a
schedule that starts, marks those whose process is gone as Crashed. That also gives back the place
under the deployment's limit, without which nothing that comes due would start.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from tasks.support.files import write_json
from tasks.support.lifetime import GRACE_SECONDS, ProcessId
from tasks.support.workspace import Workspace

SWEEP_SECONDS = 15.0
MESSAGE = "Its process was killed."
_ACTIVE = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


def _folder(space: Workspace) -> Path:
    return space.state / "flows"


@contextmanager
def on_record(space: Workspace, run: UUID) -> Iterator[None]:
    """Keep on record which process a flow run's body runs in, while the block runs."""
    file = _folder(space) / f"{run}.json"
    write_json(file, ProcessId.here().as_json())
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _owner(file: Path) -> ProcessId | None:
    try:
        return ProcessId.of(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:  # it has just ended
        return None


def mark_dead_runs(space: Workspace) -> list[str]:
    """Mark flow runs on record whose process on this host is gone as Crashed; their ids."""
    files = [f for f in sorted(_folder(space).glob("*.json")) if (o := _owner(f)) and o.is_dead]
    if not files:
        return []
    marked = []
    with get_client(sync_client=True) as client:
        for file in files:
            try:
                if _crash(client, client.read_flow_run(UUID(file.stem))):
                    marked.append(file.stem)
            except ObjectNotFound:  # it was on another server
                pass
            file.unlink(missing_ok=True)
    return marked


def _crash(client: Any, run: Any) -> bool:
    if run.state is None or run.state.is_final():
        return False
    client.set_flow_run_state(run.id, Crashed(message=MESSAGE), force=True)
    return True


def free_deployment(space: Workspace, name: str) -> None:
    """Mark all unfinished runs of a deployment but those that live here as Crashed, and give back
    their places under its limit. Only for a deployment that no other process serves.
    """
    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(name)
        except ObjectNotFound:
            return
        runs = client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_ACTIVE))
            ),
        )
        living = {file.stem for file in _folder(space).glob("*.json")}
        for run in runs:
            if str(run.id) not in living:
                _crash(client, run)


def outlast_runs(space: Workspace) -> None:
    """Wait until the flow runs that this process started have ended, as they were told to."""
    end = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < end:
        ours = {child.pid for child in psutil.Process().children(recursive=True)}
        owners = [_owner(file) for file in _folder(space).glob("*.json")]
        if not any(o and o.pid in ours and not o.is_dead for o in owners):
            return
        time.sleep(0.2)


def sweep(space: Workspace, until: threading.Event) -> None:
    """Mark dead runs again and again: a process may end some time after the one it works for."""
    import httpx

    while not until.wait(SWEEP_SECONDS):
        try:
            mark_dead_runs(space)
        except httpx.HTTPError:  # the server is away, perhaps being started again
            continue
