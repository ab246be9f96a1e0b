"""Tracking on a real SQLite store, and on a server that is away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline_workspace import enter, sh

from falcon.config import TrackingSettings
from tasks.support.files import write_json
from tasks.support.mlflow_store import import_mlflow, prepare_database
from tasks.support.run_lifecycle import closing, mark_crashed_runs, stage_run
from tasks.support.tracking import Tracker
from tasks.support.workspace import Workspace


@pytest.fixture
def tracker(shared: Workspace, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    enter(shared, monkeypatch)
    return Tracker(shared.settings(), shared, pause=0.0)


def away(shared: Workspace) -> tuple[Tracker, str]:
    """A tracker of a server that is not there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{probe.getsockname()[1]}"
    settings = shared.settings().model_copy(update={"tracking": TrackingSettings(uri=uri)})
    return Tracker(settings, shared, pause=0.0), uri


def test_the_installed_mlflow_is_imported_and_the_folder_is_no_package() -> None:
    mlflow = import_mlflow()
    assert "site-packages" in str(mlflow.__file__)
    here = Path(__file__).resolve().parents[2] / "mlflow"
    assert here.is_dir()
    assert not list(here.rglob("__init__.py"))


def test_a_stage_run_is_a_child_with_its_inputs_on_record(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tracker.space.settings()
    address = "http://127.0.0.1:4200/runs/flow-run/abc"
    monkeypatch.setenv("FALCON_PREFECT_RUN_ID", "abc")
    monkeypatch.setenv("FALCON_PREFECT_RUN_URL", address)
    monkeypatch.setenv("USER", "ada")
    monkeypatch.setenv("LOGNAME", "ada")
    monkeypatch.setattr(sys, "argv", ["/x/tasks/__main__.py", "train", "http://u:s3cret@h"])
    remote = "https://u:s3cret@example.org/falcon.git"
    sh(tracker.space.root, "git", "remote", "add", "origin", remote)
    parent = tracker.create_run("pipeline", {})
    with closing(parent):
        monkeypatch.setenv("FALCON_PARENT_RUN_ID", parent.id)
        with stage_run(tracker, "train", settings) as run:
            run.metrics({"loss": 0.5}, 3)
    logged = tracker.client.get_run(run.id)
    assert logged.info.status == "FINISHED"
    assert logged.data.tags["mlflow.parentRunId"] == parent.id
    assert logged.data.tags["settings.hash"]
    assert logged.info.run_name == f"train quick {settings.train.steps} steps seed 0"
    tags = logged.data.tags
    assert tags["mlflow.user"] == "ada"
    assert tags["mlflow.source.name"] == "python -m tasks train http://***@h"
    assert tags["mlflow.source.type"] == "LOCAL"
    assert tags["mlflow.source.git.commit"] == tags["git.commit"].removesuffix("-dirty")
    assert tags["mlflow.source.git.branch"] in ("main", "master")
    assert tags["mlflow.source.git.repoURL"] == "https://***@example.org/falcon.git"
    assert (tags["prefect.flow_run_id"], tags["prefect.flow_run_url"]) == ("abc", address)
    assert len(logged.data.tags["git.commit"].removesuffix("-dirty")) == 40
    assert logged.data.params["train.meta.tasks"] == str(settings.train.meta.tasks)
    assert tracker.client.get_metric_history(run.id, "loss")[0].step == 3
    md5 = logged.data.tags["dvc.data.md5"]
    assert logged.inputs.dataset_inputs[0].dataset.digest == md5
    same = tracker.client.search_runs([tracker.experiment_id()], f"dataset.digest = '{md5}'")
    assert run.id in [each.info.run_id for each in same]
    # The child did not end its parent, the parent ended itself.
    assert tracker.client.get_run(parent.id).info.status == "FINISHED"


@pytest.mark.parametrize(
    ("fault", "status"),
    [(ValueError("broke"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(143), "KILLED")],
)
def test_a_run_ends_as_its_work_did(tracker: Tracker, fault: BaseException, status: str) -> None:
    run = tracker.create_run("stage", {})
    with pytest.raises(type(fault)), closing(run):
        raise fault
    assert tracker.client.get_run(run.id).info.status == status


STOPPED_TWICE = """
import os, signal, sys, threading, time
from tasks.support.run_lifecycle import closing
from tasks.support.tracking import Tracker
from tasks.support.workspace import Workspace

def again_and_again():
    while True:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.005)

space = Workspace.here()
run = Tracker(space.settings(), space).create_run("prepare", {})
with closing(run):
    threading.Thread(target=again_and_again, daemon=True).start()
    time.sleep(60)
"""


def test_a_run_that_is_told_twice_to_end_is_still_marked(space: Workspace) -> None:
    done = sh(space.root, sys.executable, "-c", STOPPED_TWICE)
    assert done.returncode in (143, -signal.SIGTERM), done.stderr
    client = Tracker(space.settings(), space).client
    (run,) = client.search_runs([client.get_experiment_by_name("falcon").experiment_id])
    assert run.info.status == "KILLED"
    assert run.data.tags["error"].startswith("Killed")


def test_system_metrics_are_logged_to_the_run_they_belong_to(tracker: Tracker) -> None:
    run = tracker.create_run("stage", {})
    with closing(run), run.system_metrics(interval=0.2):
        import time

        time.sleep(1.5)
    names = tracker.client.get_run(run.id).data.metrics
    assert any(name.startswith("system/") for name in names)


def test_a_run_whose_process_died_is_marked_and_a_resumed_one_is_not(tracker: Tracker) -> None:
    def crashed() -> str:
        run = tracker.create_run("stage", {})
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        child.send_signal(signal.SIGKILL)
        child.wait()
        lease = {"pid": child.pid, "born": 1.0, "host": socket.gethostname()}
        write_json(tracker.space.state / "active" / f"{run.id}.json", lease)
        return run.id

    lost, resumed = crashed(), crashed()
    assert mark_crashed_runs(tracker, resumed) == [lost]
    assert tracker.client.get_run(lost).info.status == "KILLED"
    assert tracker.client.get_run(resumed).info.status == "RUNNING"
    living = tracker.create_run("stage", {})
    with closing(living):
        assert mark_crashed_runs(tracker) == []


def test_a_resumed_stage_goes_on_in_the_same_run(tracker: Tracker) -> None:
    settings = tracker.space.settings()

    def interrupted() -> None:
        with stage_run(tracker, "train", settings) as run:
            ids.append(run.id)
            run.metrics({"loss": 2.0}, 0)
            raise KeyboardInterrupt

    ids: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    run = tracker.client.get_run(ids[0]).info.run_id
    assert tracker.client.get_run(run).info.status == "KILLED"
    with stage_run(tracker, "train", settings, resume=run) as again:
        assert again.id == run
        again.metrics({"loss": 1.0}, 1)
        assert tracker.client.get_run(run).info.status == "RUNNING"
    logged = tracker.client.get_run(run)
    assert logged.info.status == "FINISHED"
    assert "resumed" in logged.data.tags
    assert [m.value for m in tracker.client.get_metric_history(run, "loss")] == [2.0, 1.0]


def test_an_outage_is_spooled_and_replayed_in_order(
    shared: Workspace, tracker: Tracker, capsys: pytest.CaptureFixture[str]
) -> None:
    absent, _ = away(shared)
    note = shared.state / "note.txt"
    note.write_text("kept")
    with closing(absent.create_run("pipeline", {"a": "b"})) as _:
        pass
    parent = absent.create_run("parent", {})
    child = absent.create_run("child", {}, parent.id)
    assert child.id.startswith("local-")
    for step in range(3):
        child.metrics({"loss": float(step)}, step)
    child.params({"p": 1})
    child.artifact(note, "notes")
    child.end("FAILED")
    assert absent.queue.pending() >= 8
    assert "cannot be reached" in capsys.readouterr().err

    assert tracker.queue.replay()
    assert tracker.queue.pending() == 0
    real = tracker.run_ids.real(child.id)
    logged = tracker.client.get_run(real)
    assert logged.info.status == "FAILED"
    assert logged.data.tags["mlflow.parentRunId"] == tracker.run_ids.real(parent.id)
    assert [m.step for m in tracker.client.get_metric_history(real, "loss")] == [0, 1, 2]
    assert [a.path for a in tracker.client.list_artifacts(real, "notes")] == ["notes/note.txt"]


def test_a_child_of_a_run_that_waits_waits_too_though_the_tracker_is_back(
    shared: Workspace, tracker: Tracker
) -> None:
    absent, _ = away(shared)
    parent = absent.create_run("pipeline", {})
    # As another process does that knows the parent's id only.
    child = tracker.create_run("stage", {}, parent.id)
    assert child.id.startswith("local-")
    child.end("FINISHED")
    assert tracker.queue.replay()
    logged = tracker.client.get_run(tracker.run_ids.real(child.id))
    assert logged.data.tags["mlflow.parentRunId"] == tracker.run_ids.real(parent.id)
    assert logged.info.status == "FINISHED"
    # A parent that nobody ever made is refused, and blocks nothing.
    orphan = tracker.create_run("stage", {}, "local-nobody")
    assert orphan.id.startswith("local-")
    assert tracker.queue.pending() == 0


def test_an_outage_does_not_hide_the_work_s_own_failure(
    shared: Workspace, tracker: Tracker
) -> None:
    absent, _ = away(shared)
    with (
        pytest.raises(ZeroDivisionError),
        stage_run(absent, "train", shared.settings()) as run,
    ):
        run.metrics({"loss": 1 / 0}, 0)
    assert tracker.queue.replay()
    assert tracker.client.get_run(tracker.run_ids.real(run.id)).info.status == "FAILED"


@pytest.mark.flow
def test_many_processes_meet_an_empty_database(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from tasks.support.mlflow_store import prepare_database as p\n"
        "p(sys.argv[1], Path(sys.argv[2]))\n"
        "from mlflow import MlflowClient; print(len(MlflowClient(sys.argv[1]).search_experiments()))"
    )
    words = [sys.executable, "-c", code, f"sqlite:///{tmp_path / 'm.db'}", str(tmp_path)]
    root = Path(__file__).resolve().parents[2]
    children = [
        subprocess.Popen(words, cwd=root, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(2)
    ]
    assert [child.communicate()[0].strip() for child in children] == ["1", "1"]
    prepare_database(f"sqlite:///{tmp_path / 'm.db'}", tmp_path)
