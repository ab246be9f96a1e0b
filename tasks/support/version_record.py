"""Record of a model version: the files and figures that are logged with it, once.

``record/`` of the model holds the gate's whole decision, all scores, ``dvc.lock``, the runs that
made the results, and the digests of everything they made. Its scores are metrics of the model.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from tasks.support import dvc
from tasks.support.files import write_json
from tasks.support.provenance import read_marker
from tasks.support.version_tags import figures
from tasks.support.workspace import STAGES, Workspace

FOLDER = "record"
"""Of the logged model."""


def write_record(space: Workspace, folder: Path) -> None:
    """Write the files into ``folder``."""
    folder.mkdir(parents=True)
    shutil.copyfile(space.root / "dvc.lock", folder / "dvc.lock")
    shutil.copyfile(space.output("gate") / "gate.json", folder / "gate.json")
    shutil.copyfile(space.output("benchmark") / "scores.json", folder / "scores.json")
    markers = {stage: read_marker(space, stage) for stage in STAGES}
    write_json(folder / "runs.json", markers)
    entries = dvc.lock(space.root)
    made = {
        stage: {out["path"]: out["md5"] for out in (entries.get(stage) or {}).get("outs") or []}
        | dict(markers[stage].get("digests") or {})
        for stage in STAGES
    }
    read = {
        stage: {dep["path"]: dep["md5"] for dep in (entries.get(stage) or {}).get("deps") or []}
        for stage in STAGES
    }
    write_json(folder / "artifacts.json", {"made": made, "read": read})


def log_scores(client: Any, space: Workspace, run: str, model_id: str) -> None:
    """The trained policy's scores as metrics of the logged model, on the run that trained it."""
    from mlflow.entities import Metric

    at = time.time_ns() // 1_000_000
    metrics = [
        Metric(f"{suite}/{name}", value, at, 0, model_id=model_id, run_id=run)
        for suite, scores in figures(space).items()
        for name, value in scores.items()
        if value is not None
    ]
    client.log_batch(run, metrics=metrics)
