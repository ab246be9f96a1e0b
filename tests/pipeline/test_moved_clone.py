"""A clone that was moved or copied works with its own files."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from tasks.support.tracking import Tracker
from tasks.support.workspace import Workspace


def log(space: Workspace, text: str) -> tuple[Tracker, str]:
    """A run with a file, made by a tracker of the workspace."""
    tracker = Tracker(space.settings(), space)
    note = space.root / "note.txt"
    note.write_text(text)
    run = tracker.create_run("stage", {})
    run.artifact(note, "notes")
    run.end("FINISHED")
    note.unlink()
    return tracker, run.id


def read(tracker: Tracker, run: str, folder: Path) -> str:
    return Path(tracker.client.download_artifacts(run, "notes/note.txt", str(folder))).read_text()


@pytest.fixture
def made(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    # Each clone has its own; the variable would name the first one's.
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    return space


@pytest.mark.parametrize("recorded", [True, False])
def test_a_moved_clone_finds_its_files(made: Workspace, tmp_path: Path, recorded: bool) -> None:
    first, run = log(made, "before")
    first.client.create_registered_model("model")
    place = (made.state / "mlartifacts" / run / "artifacts").as_uri()
    first.client.create_model_version("model", source=place, run_id=run)
    if not recorded:  # by an earlier version
        (made.state / "root").unlink()
    there = made.root.with_name("clône b 1")
    made.root.rename(there)
    moved = Workspace(there)
    tracker, later = log(moved, "after")
    assert read(tracker, run, tmp_path) == "before"
    assert read(tracker, later, tmp_path) == "after"
    assert (there / "state" / "mlartifacts" / later).is_dir()
    assert not made.root.exists()
    source = tracker.client.get_model_version("model", "1").source
    assert source == (there / "state" / "mlartifacts" / run / "artifacts").as_uri()
    with sqlite3.connect(there / "state" / "mlflow.db") as database:
        everything = "\n".join(database.iterdump())
    assert made.root.as_uri() not in everything
    assert f"{made.root}/" not in everything
    assert (there / "state" / "mlflow.db.moved").is_file()


def test_a_copied_clone_leaves_the_first_alone(made: Workspace, tmp_path: Path) -> None:
    _, run = log(made, "before")
    # Its name begins like that of the first one: only whole names may be taken for it.
    there = made.root.with_name(made.root.name + "-2")
    shutil.copytree(made.root, there, symlinks=True)
    before = {p: p.stat().st_mtime_ns for p in made.state.rglob("*") if p.is_file()}
    tracker, later = log(Workspace(there), "after")
    shutil.rmtree(there / "state" / "mlartifacts" / run)
    assert read(tracker, later, tmp_path) == "after"
    assert {p: p.stat().st_mtime_ns for p in made.state.rglob("*") if p.is_file()} == before
    assert read(Tracker(made.settings(), made), run, tmp_path) == "before"
