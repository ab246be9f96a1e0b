"""A moved or copied clone: the places in MLflow's database follow it.

MLflow keeps absolute addresses of artifact folders. ``state/root`` says where the clone was when
they were written; opened elsewhere, those that lay in the old clone are made to lie in this one.
So a copy works with its own files and leaves the first clone alone.
"""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

from tasks.support.files import write_text

_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)
"""Tables and columns of MLflow's database that hold addresses of folders."""


def follow_move(database: Path) -> bool:
    """Correct the addresses in ``state/mlflow.db``; True when the clone was elsewhere before.

    The caller holds the lock. All or nothing is changed; a copy stays as ``mlflow.db.moved``.
    """
    state = database.parent
    root, record = state.parent, state / "root"
    before = record.read_text(encoding="utf-8").strip() if record.is_file() else _recorded(database)
    moved = before not in ("", str(root))
    if moved:
        _correct(database, Path(before), root)
    if not record.is_file() or moved:
        write_text(record, f"{root}\n")
    return moved


def _recorded(database: Path) -> str:
    """Where the clone of a database without a record was, by the place of an experiment."""
    with closing(sqlite3.connect(database, timeout=60.0)) as connection:
        rows = connection.execute("SELECT artifact_location FROM experiments").fetchall()
    for (place,) in rows:
        found = re.fullmatch(r"file://(/.*)/state/mlartifacts", place or "")
        if found:
            return unquote(found[1])
    return ""


def _correct(database: Path, before: Path, root: Path) -> None:
    with closing(sqlite3.connect(database, timeout=60.0)) as connection:
        with closing(sqlite3.connect(database.with_name("mlflow.db.moved"))) as copy:
            connection.backup(copy)
        with connection:  # one transaction
            for table, column in _PLACES:
                if column not in _columns(connection, table):  # a later MLflow may have none
                    continue
                for old, new in ((before.as_uri(), root.as_uri()), (str(before), str(root))):
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?)"  # noqa: S608
                        f" WHERE substr({column}, 1, ?) = ?",
                        (f"{new}/", len(old) + 2, len(old) + 1, f"{old}/"),
                    )


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
