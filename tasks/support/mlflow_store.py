"""MLflow's store: where runs are kept, and the tables of an SQLite database made safely."""

import fcntl
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from falcon.config import Settings
from falcon.errors import UserError
from tasks.support.files import may_write, write_text
from tasks.support.moved_clone import follow_move
from tasks.support.workspace import Workspace

SQLITE = "sqlite:///"
DATABASES = ("postgresql", "mysql", "mssql")
"""How addresses of database servers begin."""


def import_mlflow() -> Any:
    """The installed mlflow. Raises UserError when only the folder ``mlflow/`` was found."""
    import mlflow

    if getattr(mlflow, "__file__", None) is None:
        raise UserError(
            "mlflow is not installed; the folder mlflow/ was imported in its place.",
            hint="Run `make venv`.",
        )
    # It prints a traceback for each database error, which it raises as well.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    # It says at each registration that the signature is not taken from type hints: it is given.
    logging.getLogger("mlflow.models.signature").setLevel(logging.WARNING)
    return mlflow


def tracking_uri(settings: Settings, space: Workspace) -> str:
    """Where runs go: the setting, else MLFLOW_TRACKING_URI, else SQLite under ``state/``.

    A relative SQLite file is taken from the root of the workspace, whatever the working folder.
    """
    given = settings.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    if not given:
        return f"{SQLITE}{space.state / 'mlflow.db'}"
    if given.startswith(SQLITE) and given != SQLITE and not given.startswith(f"{SQLITE}/"):
        return f"{SQLITE}{space.root / given.removeprefix(SQLITE)}"
    return given


def database_file(uri: str) -> Path | None:
    """The file of an SQLite address, None for other addresses. Raises UserError without a file."""
    if not uri.startswith("sqlite:"):
        return None
    name = uri.removeprefix(SQLITE).partition("?")[0] if uri.startswith(SQLITE) else ""
    if not name or name == ":memory:":
        raise UserError(
            f"the tracker `{uri}` names no file.", hint="As in sqlite:////folder/mlflow.db."
        )
    return Path(name)


def prepare_database(uri: str, state: Path) -> None:
    """Make an SQLite tracker ready: its tables, and its files' place if the clone has moved.

    An older database is upgraded if it is ours (under ``state``), after a copy was made. Does
    nothing for other addresses. Raises UserError for what cannot be MLflow's database.
    """
    file = database_file(uri)
    if file is None:
        return
    ours = file.parent == state
    if ours:
        state.mkdir(parents=True, exist_ok=True)
    elif not file.parent.is_dir():
        raise UserError(
            f"the tracker {uri}: the folder {file.parent} is not there.",
            hint="Make it, or correct tracking.uri (MLFLOW_TRACKING_URI).",
        )
    # MLflow's own first use is not safe against several processes at once, so they queue here.
    with locked_database(state):
        _require_writable(file)
        present = _revision(file)
        if present != _head(state):
            _upgrade(uri, file, state, present, ours=ours)
        if ours:
            follow_move(file)


@contextmanager
def locked_database(state: Path) -> Iterator[None]:
    """Hold the lock under which this workspace's processes change the tables of a tracker."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "mlflow.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _require_writable(file: Path) -> None:
    # SQLite writes its journal beside the database.
    for path in (file, file.parent):
        if path.exists() and not may_write(path):
            raise UserError(
                f"the tracker's database {file} cannot be written: {path} is read-only for us.",
                hint="Give this user the folder, or set tracking.uri.",
            )


def _revision(file: Path) -> str:
    """Revision of a database's tables; "" for a file that is absent or empty.

    Raises UserError for a file that is no database, or one of another program.
    """
    if not file.exists():
        return ""
    try:
        with closing(sqlite3.connect(file, timeout=60.0)) as database:
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            if "alembic_version" in names:
                row = database.execute("SELECT version_num FROM alembic_version").fetchone()
                return str(row[0]) if row else ""
    except sqlite3.DatabaseError as fault:
        raise UserError(
            f"the tracker's database {file} cannot be read ({fault}).",
            hint="Move the file away to start anew, or correct tracking.uri.",
        ) from fault
    if names:
        raise UserError(
            f"{file} is a database, but none of MLflow's.", hint="Correct tracking.uri."
        )
    return ""


def _head(state: Path) -> str:
    """Revision of the tables that the installed MLflow works with, remembered in ``state``."""
    stamp, installed = state / "mlflow.revision", version("mlflow")
    if stamp.is_file():
        known, _, revision = stamp.read_text(encoding="utf-8").strip().partition(" ")
        if known == installed:
            return revision
    head = migrations().get_current_head()
    write_text(stamp, f"{installed} {head}\n")
    return str(head)


def migrations() -> Any:
    """Alembic's scripts of the installed MLflow."""
    from alembic.script import ScriptDirectory

    home = Path(import_mlflow().__file__).parent
    return ScriptDirectory(str(home / "store" / "db_migrations"))


def _upgrade(uri: str, file: Path, state: Path, present: str, *, ours: bool) -> None:
    require_known_revision(present, uri, ours=ours)
    if present:
        copy_database(file, state / f"mlflow.db.{present}")
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "db", "upgrade", uri],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        if not present:  # half its tables: the next start would take it for an old database
            file.unlink(missing_ok=True)
        message = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(
            f"{file}: MLflow cannot set up its tables ({message}).",
            hint="Move the file away to start anew, or set tracking.uri.",
        )


def require_known_revision(present: str, uri: str, *, ours: bool) -> None:
    """Raise UserError for tables that the installed MLflow cannot or may not upgrade."""
    if not present:
        return
    if present not in {each.revision for each in migrations().walk_revisions()}:
        raise UserError(
            f"{uri} was written by a newer MLflow than {version('mlflow')}, which is here.",
            hint="Install that one, or set tracking.uri.",
        )
    if not ours:
        raise UserError(
            f"{uri} was written by an older MLflow than {version('mlflow')}.",
            hint=f"Keep a copy, then give `mlflow db upgrade {uri}`.",
        )


def copy_database(file: Path, copy: Path) -> None:
    """Copy a database as one state of it, also while others write."""
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
