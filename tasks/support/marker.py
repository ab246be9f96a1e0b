"""Marker: which run made the results of a stage that lie in ``outputs/`` now.

``state/runs/STAGE.json`` maps a fingerprint of the results to the run that made them. So the run
is known again when DVC restores older results from its cache.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.support.files import write_text
from tasks.support.workspace import Workspace

KEPT = 20
"""Newest runs of a stage that are remembered."""


def _file(space: Workspace, stage: str) -> Path:
    return space.state / "runs" / f"{stage}.json"


def _fingerprint(space: Workspace, stage: str) -> str:
    """sha256 over the small results of a stage; "" when they are not there."""
    digest = hashlib.sha256()
    for name in ("metrics.json", "checks.json"):
        path = space.output(stage) / name
        if not path.is_file():
            return ""
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _read(space: Workspace, stage: str) -> dict[str, dict[str, Any]]:
    file = _file(space, stage)
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def read_marker(space: Workspace, stage: str) -> dict[str, Any]:
    """The run that made the present results of a stage; empty when it is not known."""
    return _read(space, stage).get(_fingerprint(space, stage), {})


def write_marker(
    space: Workspace,
    stage: str,
    run_id: str,
    settings: str,
    seconds: float,
    times: dict[str, float],
) -> None:
    """Record that ``run_id`` made the present results. ``settings`` is their hash; ``times`` are
    the seconds of each kind of work."""
    markers, key = _read(space, stage), _fingerprint(space, stage)
    markers.pop(key, None)
    markers[key] = {
        "run_id": run_id,
        "parent_run_id": os.environ.get("FALCON_PARENT_RUN_ID", ""),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "seconds": seconds,
        "time": {kind: value for kind, value in times.items() if math.isfinite(value)},
        "settings": settings,
    }
    # The newest stands last. Sorted keys would lose that order, so this is not `write_json`.
    newest = dict(list(markers.items())[-KEPT:])
    write_text(_file(space, stage), json.dumps(newest, indent=2) + "\n")
