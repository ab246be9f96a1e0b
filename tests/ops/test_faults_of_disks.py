"""Full disks: refused before any work, one line in the middle of it, and nothing is half written."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.support.workspace import ROOM
from tests.ops.clone import AGAIN, FALCON, Clone, Done, Moment, copy_clone
from tests.processes import free_port

SIZE = ROOM + 192 * 2**20


class Disk:
    """A disk of its own, made of memory."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.filler = folder, folder / "filler"

    def fill(self) -> None:
        """Leave no byte free."""
        with self.filler.open("wb") as file:
            try:
                while True:
                    file.write(b"\0" * 2**20)
                    file.flush()
            except OSError:
                pass
        with self.filler.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 512)
            except OSError:
                pass

    def make_room(self) -> None:
        self.filler.unlink()


def full(done: Done) -> None:
    """It ended with one line that says what the disk lacks."""
    done.refused()
    assert "full" in done.said[0] or "space" in done.said[0], done.said


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a disk")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small(finished: Path, disk: Disk, tmp_path: Path) -> Iterator[Clone]:
    """A finished clone on a small disk."""
    clone = Clone(copy_clone(finished, disk.folder / "clone"), tmp_path / "logs")
    yield clone
    clone.stop()


@pytest.mark.row(
    "run", "at its start", "the disk is full", "one line, nothing is written; then it runs"
)
def test_nothing_begins_on_a_full_disk(small: Clone, disk: Disk) -> None:
    before = small.facts()
    disk.fill()
    small.falcon("run").refused("MiB free on its disk", "are needed to begin")
    small.falcon("stage", "gate").refused("MiB free on its disk")
    disk.make_room()
    small.falcon("stage", "gate").ok()
    small.whole(before)


def full_in(stage: str, when: str, at: Moment) -> object:
    must = "one line; the last results stay whole; after room is made the same goes on"
    row = pytest.mark.row(stage, when, "the disk fills up", must)
    marks = [row] if stage == "seed" else [row, pytest.mark.nightly]
    return pytest.param(stage, at, marks=marks, id=stage)


@pytest.mark.parametrize(
    ("stage", "at"),
    [
        full_in("seed", "before its first output",
                Moment("-m tasks seed", event="open", text="outputs/seed/")),
        full_in("train", "between its steps",
                Moment("-m tasks train", event="os.rename", text="state/checkpoints")),
    ],
)  # fmt: skip
def test_a_disk_that_fills_up_in_a_stage(small: Clone, disk: Disk, stage: str, at: Moment) -> None:
    before = small.facts()
    small.forget(stage)
    running = small.start(*FALCON, "stage", stage, at=at).reached()
    disk.fill()
    running.go()
    full(running.end())
    disk.make_room()
    small.falcon("stage", stage).ok()
    small.whole(before)


@pytest.mark.row(
    "gate", "while calls to the tracker are kept", "tracker away and the disk fills up",
    "one line; what was kept is whole, and is on record once both are back",
)  # fmt: skip
def test_a_disk_that_fills_up_while_calls_are_kept(small: Clone, disk: Disk) -> None:
    before = small.facts()
    small.forget("gate")
    away = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}
    at = Moment("-m tasks gate", event="os.rename", text="outputs/gate/gate.json")
    running = small.start(*FALCON, "stage", "gate", at=at, **away).reached()
    disk.fill()
    running.go()
    full(running.end())
    disk.make_room()
    small.falcon("stage", "gate").ok()
    small.whole(before)


@pytest.mark.nightly
@pytest.mark.row(
    "registry", "while the model's files are stored", "the disk fills up",
    "one line; the model in service stays; after room is made the same command registers it once",
)  # fmt: skip
def test_a_disk_that_fills_up_in_the_registry(
    unregistered: Path, disk: Disk, prefect_url: str, tmp_path: Path
) -> None:
    small = Clone(copy_clone(unregistered, disk.folder / "clone"), tmp_path / "logs")
    at = Moment("falcon.cli run", call="mlflow.models.model:Model.log")
    prefect = {"PREFECT_API_URL": prefect_url}
    running = small.start(*FALCON, *AGAIN, at=at, **prefect).reached()
    disk.fill()
    running.go()
    full(running.end())
    disk.make_room()
    assert small.aliases() == {"champion": "1"}
    small.falcon(*AGAIN, **prefect).ok()
    assert small.aliases() == {"champion": "2", "previous": "1"}
    assert "RUNNING" not in small.runs().values()
