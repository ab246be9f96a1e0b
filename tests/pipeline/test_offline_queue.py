"""The offline queue: what waits for the tracker is neither lost nor made twice."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pipeline_workspace import enter, files_of_at_most, sh

from falcon.config import TrackingSettings
from tasks.support.errors import CallRejected
from tasks.support.kept_files import KeptFiles
from tasks.support.offline_queue import OfflineQueue
from tasks.support.run_lifecycle import closing
from tasks.support.tracking import OURS, TrackedRun, Tracker
from tasks.support.workspace import Workspace


@pytest.fixture
def tracker(shared: Workspace, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    enter(shared, monkeypatch)
    return Tracker(shared.settings(), shared, pause=0.0)


def tracker_at(shared: Workspace, uri: str) -> Tracker:
    settings = shared.settings().model_copy(update={"tracking": TrackingSettings(uri=uri)})
    return Tracker(settings, shared, pause=0.0)


def away(shared: Workspace) -> Tracker:
    """A tracker of a server that is not there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return tracker_at(shared, f"http://127.0.0.1:{probe.getsockname()[1]}")


def text_of(tracker: Tracker, run: TrackedRun, name: str, folder: Path) -> str:
    real = tracker.run_ids.real(run.id)
    return Path(tracker.client.download_artifacts(real, name, str(folder))).read_text()


def test_two_runs_of_one_outage_keep_their_own_files(
    shared: Workspace, tracker: Tracker, tmp_path: Path
) -> None:
    absent = away(shared)
    file, folder = tmp_path / "scores.json", tmp_path / "policy"
    (folder / "deep").mkdir(parents=True)
    runs = []
    for number in (1, 2):
        file.write_text(f"scores of run {number}")  # in place: a hard link would change, too
        (folder / "deep" / "weights").write_text(f"weights of run {number}")
        (folder / "same").write_text("the same")
        run = absent.create_run("train", {})
        run.artifact(file, "benchmark")
        run.artifact(folder, "policy")
        run.end("FINISHED")
        runs.append(run)
    file.unlink()
    kept = tracker.queue.files.folder
    assert len(list(kept.iterdir())) == 5  # what is equal is kept once
    assert tracker.queue.replay()
    for number, run in enumerate(runs, start=1):
        got = text_of(tracker, run, "benchmark/scores.json", tmp_path)
        assert got == f"scores of run {number}"
        got = text_of(tracker, run, "policy/deep/weights", tmp_path)
        assert got == f"weights of run {number}"
        assert text_of(tracker, run, "policy/same", tmp_path) == "the same"
    assert not list(kept.iterdir())


KILLED = """
import os, sys
from tasks.support.tracking import Tracker
from tasks.support.workspace import Workspace
space = Workspace.here()
tracker = Tracker(space.settings(), space, pause=0.0)
kill_at, made = sys.argv[1], 0
def die(): os.kill(os.getpid(), 9)
make, learn = tracker.queue._make, tracker.run_ids.learn
def counted(call):
    global made
    make(call)
    made += 1
    if str(made) == kill_at: die()
def before_learning(ours, real):
    if kill_at == "create": die()
    learn(ours, real)
tracker.queue._make, tracker.run_ids.learn = counted, before_learning
tracker.queue.replay()
"""


@pytest.mark.parametrize("moment", ["create", "1", "4", "7"])
def test_a_replay_that_is_killed_loses_nothing_and_makes_nothing_twice(
    shared: Workspace, tracker: Tracker, tmp_path: Path, moment: str
) -> None:
    absent = away(shared)
    note = tmp_path / "note.txt"
    note.write_text("kept")
    parent = absent.create_run("pipeline", {"here": f"{tmp_path}"})
    run = absent.create_run("train", {"here": f"{tmp_path}"}, parent.id)
    for step in range(3):
        run.metrics({"loss": float(step)}, step)
    run.artifact(note, "notes")
    run.end("FAILED")
    parent.end("FINISHED")
    done = sh(shared.root, sys.executable, "-c", KILLED, moment)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert tracker.queue.replay()
    assert tracker.queue.pending() == 0
    found = tracker.client.search_runs([tracker.experiment_id()], f"tags.here = '{tmp_path}'")
    assert sorted(each.info.status for each in found) == ["FAILED", "FINISHED"]
    real = tracker.run_ids.real(run.id)
    assert [m.step for m in tracker.client.get_metric_history(real, "loss")] == [0, 1, 2]
    assert text_of(tracker, run, "notes/note.txt", tmp_path) == "kept"
    assert tracker.client.get_run(real).data.tags[OURS] == run.id


def test_system_metrics_go_on_through_an_outage(shared: Workspace, tracker: Tracker) -> None:
    absent = away(shared)
    run = absent.create_run("stage", {})
    with closing(run), run.system_metrics(interval=0.1):
        time.sleep(0.5)
    assert tracker.queue.replay()
    real = tracker.run_ids.real(run.id)
    name = "system/cpu_utilization_percentage"
    steps = [m.step for m in tracker.client.get_metric_history(real, name)]
    assert steps[:2] == [0, 1]
    again = tracker.reopen(real)
    with closing(again), again.system_metrics(resumed=True, interval=60.0):
        pass
    history = tracker.client.get_metric_history(real, name)
    assert [m.step for m in history] == [*steps, steps[-1] + 1]


def test_what_one_tracker_refuses_waits_for_the_one_that_knows_the_run(
    space: Workspace, tmp_path: Path
) -> None:
    first = Tracker(space.settings(), space, pause=0.0)
    run = first.create_run("train", {})
    note = tmp_path / "note.txt"
    note.write_text("kept")
    other = tracker_at(space, f"sqlite:///{tmp_path}/other.db")
    stray = TrackedRun(other, run.id)
    stray.metrics({"loss": 1.0})
    stray.artifact(note, "notes")
    note.unlink()
    refused = other.queue.folder / "refused.jsonl"
    assert len(refused.read_text().splitlines()) == 2
    assert other.queue.replay()  # the same tracker would refuse again
    assert len(refused.read_text().splitlines()) == 2
    assert first.queue.replay()
    assert not refused.exists()
    assert first.client.get_run(run.id).data.metrics == {"loss": 1.0}
    assert text_of(first, run, "notes/note.txt", tmp_path) == "kept"
    assert not list(first.queue.files.folder.iterdir())


def test_a_run_whose_file_sorts_after_its_child_s_is_created_first(
    shared: Workspace, tracker: Tracker
) -> None:
    """As when the clock was set back between two processes."""
    parent = away(shared).create_run("pipeline", {})
    child = away(shared).create_run("stage", {}, parent.id)
    files = sorted(tracker.queue.folder.glob("0*.jsonl"))
    assert len(files) == 2
    files[0].rename(files[0].with_name("9-later.jsonl"))
    assert tracker.queue.replay()
    logged = tracker.client.get_run(tracker.run_ids.real(child.id))
    assert logged.data.tags["mlflow.parentRunId"] == tracker.run_ids.real(parent.id)


def test_a_spool_that_cannot_grow_is_one_line_and_work_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    made: list[int] = []

    def do(call: dict[str, int]) -> None:
        if not made:
            raise ConnectionError("away")
        made.append(call["n"])

    queue = OfflineQueue(tmp_path, do, said.append, pause=1000.0)
    big = tmp_path / "big"
    big.write_bytes(bytes(9000))
    with files_of_at_most(2000):
        for n in range(100):
            assert not queue.submit({"n": n})
        assert not queue.submit({"n": 100, "path": str(big)})
    assert len([text for text in said if "has gaps" in text]) == 1
    kept = queue.pending()
    assert 10 < kept < 100
    made.append(-1)
    assert queue.replay()
    assert made == [-1, *range(kept)]  # nothing torn


def test_a_folder_without_files_and_names_in_folders_are_kept(tmp_path: Path) -> None:
    kept = KeptFiles(tmp_path / "kept")
    (tmp_path / "empty").mkdir()
    assert kept.keep(tmp_path / "empty") == {}
    with pytest.raises(FileNotFoundError):
        kept.keep(tmp_path / "gone")


WRITER = """
import sys
from pathlib import Path
from tasks.support.offline_queue import OfflineQueue
def do(call): raise ConnectionError("away")
queue = OfflineQueue(Path(sys.argv[1]), do, lambda text: None, pause=1000)
for n in range(400): queue.submit({"n": n})
"""


def test_calls_kept_while_another_process_replays_are_not_lost(tmp_path: Path) -> None:
    made: list[int] = []
    queue = OfflineQueue(
        tmp_path, lambda call: made.append(call["n"]), lambda text: None, pause=0.0
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], cwd=Path(__file__).resolve().parents[2]
    )
    while writer.poll() is None:
        queue.replay()
    assert writer.returncode == 0
    assert queue.replay()
    assert made == list(range(400))


def test_what_the_tracker_refuses_is_set_aside_and_does_not_block(tracker: Tracker) -> None:
    run = tracker.create_run("stage", {})
    run.params({"p": 1})
    run.params({"p": 2})
    run.metrics({"loss": 1.0})
    refused = (tracker.queue.folder / "refused.jsonl").read_text().splitlines()
    assert json.loads(refused[-1])["params"] == {"p": "2"}
    logged = tracker.client.get_run(run.id)
    assert logged.data.params == {"p": "1"}
    assert logged.data.metrics == {"loss": 1.0}


def test_the_queue_keeps_order_through_a_second_outage(tmp_path: Path) -> None:
    made: list[int] = []
    up = [False]

    def do(call: dict[str, int]) -> None:
        if not up[0] or (call["n"] == 2 and 2 not in seen):
            seen.append(call["n"])
            raise ConnectionError("away")
        if call["n"] == 3:
            raise CallRejected("never")
        made.append(call["n"])

    seen: list[int] = []
    queue = OfflineQueue(tmp_path, do, lambda text: None, pause=0.0)
    for n in range(2):
        assert not queue.submit({"n": n})
    up[0] = True
    (tmp_path / "00-torn.jsonl").write_text('{"n": 7}\n{"n": 8')  # killed while writing
    assert not queue.submit({"n": 2}) or made[:1] == [7]
    assert queue.submit({"n": 3})
    assert queue.submit({"n": 4})
    assert made == [7, 0, 1, 2, 4]
    assert queue.pending() == 0
