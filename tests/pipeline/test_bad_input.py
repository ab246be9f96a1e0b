"""Bad input: a full disk, results that are not there, a memory that is damaged."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pipeline_workspace import enter, files_of_at_most, problem, sh, write_before, write_data

from falcon.cli import main as cli
from falcon.errors import UserError, machine_fault
from tasks.__main__ import main
from tasks.support import workspace
from tasks.support.files import write_text
from tasks.support.mlflow_store import prepare_database
from tasks.support.workspace import Workspace


def test_results_of_an_earlier_stage_that_are_missing_are_named(shared: Workspace) -> None:
    done = sh(shared.root, sys.executable, "-m", "tasks", "train")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "outputs/settings.yaml is not there, which every stage reads" in done.stderr
    write_before(shared)
    done = sh(shared.root, sys.executable, "-m", "tasks", "train")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "outputs/prepare/problems.parquet is not there, which `train` reads" in done.stderr
    assert "dvc repro train" in done.stderr


def test_results_whose_checks_failed_are_not_used(
    space: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reference that fails its tests fails ``prepare``; ``seed`` alone then refuses to go on."""
    problems = [problem(i, split) for i, split in enumerate(("train", "train", "valid", "test"))]
    wrong = f"def {problems[0]['entry_point']}(x):\n    return None\n"
    write_data(space.root / "data", [{**problems[0], "solutions": [wrong]}, *problems[1:]])
    assert main(["settings"]) == main(["code"]) == 0
    assert main(["prepare"]) == 3
    assert space.output("prepare").joinpath("problems.parquet").exists()
    capsys.readouterr()
    assert main(["seed"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert (
        "`seed` reads outputs/prepare/problems.parquet, and the checks of `prepare` failed"
        in message
    )
    assert "falcon stage prepare" in message
    assert not space.output("seed").exists()
    write_data(space.root / "data", problems)
    assert main(["prepare"]) == 0
    assert main(["seed"]) == 0


def test_nothing_begins_on_a_disk_without_room(
    shared: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(shared, monkeypatch)
    monkeypatch.setattr(workspace, "ROOM", 2**62)
    before = sorted(shared.root.rglob("*"))
    commands = (lambda: cli.run(["run"]), lambda: cli.run(["schedule"]))
    for call in (lambda: main(["prepare"]), *commands):
        code, message = call(), capsys.readouterr().err
        assert (code, message.count("\n")) == (2, 1)
        assert "MiB free on its disk" in message
    assert sorted(shared.root.rglob("*")) == before


def test_a_disk_that_fills_up_on_the_way_is_one_line(
    shared: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The system's own refusal (of ``/dev/full``), met deep inside a stage."""
    enter(shared, monkeypatch)

    def fill(name: str) -> None:
        try:
            Path("/dev/full").write_text("x")
        except OSError as fault:
            raise RuntimeError("the table cannot be written") from fault

    monkeypatch.setattr("tasks.support.stage.run_stage", fill)
    assert main(["prepare"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "the disk is full" in message
    assert machine_fault(ValueError("something else")) is None


def test_a_file_that_cannot_be_written_leaves_the_one_before_it(tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    write_text(file, "{}\n")
    with files_of_at_most(1000), pytest.raises(OSError, match="too large"):
        write_text(file, "x" * 5000)
    assert file.read_text() == "{}\n"
    assert list(tmp_path.iterdir()) == [file]


def test_a_database_that_could_not_be_set_up_is_not_left_half_made(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    with files_of_at_most(40_000), pytest.raises(UserError, match="cannot set up its tables"):
        prepare_database(f"sqlite:///{database}", tmp_path)
    assert not database.exists()
    prepare_database(f"sqlite:///{database}", tmp_path)
    assert database.stat().st_size > 100_000
