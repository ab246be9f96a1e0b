"""MLflow's store: where runs are kept, and the tables of an SQLite database made safely."""

import fcntl
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from falcon.config import Settings
from falcon.errors import UserError
from tasks.support.files import write_text
from tasks.support.workspace import Workspace

SQLITE = "sqlite:///"


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
    return given or f"{SQLITE}{space.state / 'mlflow.db'}"


def prepare_database(uri: str, state: Path) -> None:
    """Create or upgrade the tables of an SQLite tracker, once for each version of MLflow.

    Does nothing for other addresses. Raises UserError when MLflow cannot do it.
    """
    if not uri.startswith(SQLITE):
        return
    database = Path(uri.removeprefix(SQLITE))
    stamp, wanted = state / "mlflow.upgraded", f"{version('mlflow')} {uri}\n"
    state.mkdir(parents=True, exist_ok=True)
    database.parent.mkdir(parents=True, exist_ok=True)
    # MLflow's own first use is not safe against several processes at once, so they queue here.
    with (state / "mlflow.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        existed = database.is_file()
        if existed and stamp.is_file() and stamp.read_text() == wanted:
            return
        upgrade = subprocess.run(
            [sys.executable, "-m", "mlflow", "db", "upgrade", uri],
            capture_output=True,
            text=True,
            check=False,
        )
        if upgrade.returncode:
            if not existed:  # half its tables: the next start would take it for an old database
                database.unlink(missing_ok=True)
            message = (upgrade.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(
                f"{database}: MLflow cannot set up its tables ({message}).",
                hint="Move the file away to start anew, or set tracking.uri.",
            )
        write_text(stamp, wanted)
