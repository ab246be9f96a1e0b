"""A workspace of its own for each test, or one for a module."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pipeline_workspace import enter, make_workspace

from tasks.support.mlflow_store import prepare_database
from tasks.support.workspace import Workspace


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and nothing in it (making one takes seconds)."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    prepare_database(f"sqlite:///{file}", file.parent)
    return file


def _with_database(made: Workspace, database: Path) -> Workspace:
    made.state.mkdir(exist_ok=True)
    for name in ("mlflow.db", "mlflow.revision"):
        shutil.copyfile(database.parent / name, made.state / name)
    return made


@pytest.fixture
def space(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A fresh workspace, made the working folder, with MLflow in it."""
    made = _with_database(make_workspace(tmp_path / "work"), database)
    enter(made, monkeypatch)
    return made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Workspace:
    """A workspace shared by the tests of a module."""
    return _with_database(make_workspace(tmp_path_factory.mktemp("shared") / "work"), database)
