"""The stages as DVC runs them: what runs again, what does not, and what they refuse."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from pipeline_workspace import enter, problem, sh, write_data

from falcon.config import profile_of
from falcon.errors import UserError
from falcon.monitor import SilentMonitor
from tasks.support import dvc
from tasks.support.errors import StageFailed
from tasks.support.files import path_md5
from tasks.support.params import freeze_settings, write_settings
from tasks.support.provenance import read_marker
from tasks.support.study import run_study
from tasks.support.workspace import Workspace
from tasks.support.yaml_file import read_yaml


def study(space: Workspace) -> None:
    """A study of the outputs that are there."""
    run_study(
        "memory",
        space,
        space.settings(),
        seeds=[0],
        out=space.state / "study",
        monitor=SilentMonitor(),
    )


@pytest.mark.flow
def test_prepare_and_seed_run_once_and_again_only_when_something_changed(
    space: Workspace,
) -> None:
    with pytest.raises(UserError, match="no problems or no seeded memory"):
        study(space)
    for stage in ("settings", "code", "prepare", "seed"):
        assert dvc.repro(space.root, stage) == "ran"
    checks = json.loads((space.output("prepare") / "checks.json").read_text())
    assert checks["passed"]
    assert checks["evaluated"] == len(checks["checks"]) == 15
    frame = pd.read_parquet(space.output("prepare") / "problems.parquet")
    assert len(frame) == 8
    seeded = json.loads((space.output("seed") / "metrics.json").read_text())
    assert seeded["experiences"] >= 5
    assert (space.state / "data_docs" / "prepare" / "index.html").is_file()
    # DVC's hashes are what path_md5 computes, for files and for folders.
    locked = dvc.lock(space.root)
    for stage in ("prepare", "seed"):
        for out in locked[stage]["outs"]:
            assert path_md5(space.root / out["path"]) == out["md5"]
    first = read_marker(space, "seed")
    assert first["run_id"]

    assert dvc.repro(space.root, "seed") == "up to date"
    assert read_marker(space, "seed") == first
    params = space.root / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("top_k: 3", "top_k: 2"))
    with pytest.raises(UserError, match="not those of the present data and settings"):
        study(space)
    freeze_settings(space)
    assert dvc.repro(space.root, "prepare") == "up to date"
    assert dvc.repro(space.root, "seed") == "ran"
    second = read_marker(space, "seed")
    assert second["run_id"] not in ("", first["run_id"])
    params.write_text(before)
    freeze_settings(space)
    assert dvc.repro(space.root, "seed") == "restored"
    assert read_marker(space, "seed")["run_id"] in (first["run_id"], second["run_id"])


@pytest.mark.flow
def test_a_reference_that_fails_and_a_leak_stop_the_pipeline(space: Workspace) -> None:
    problems = [problem(i, s) for i, s in enumerate(("demo", "train", "train", "test"))]
    problems[1]["solutions"] = ["def largest_1(x):\n    return 0\n"]
    problems[2]["statement"] = problems[3]["statement"] = "copy " + " ".join(
        f"word{i}" for i in range(20)
    )
    write_data(space.data, problems)
    dvc.run(space.root, "add", "data")
    freeze_settings(space)
    with pytest.raises(StageFailed, match=r"id builtin/.*reference_passes False") as caught:
        dvc.repro(space.root, "prepare")
    assert caught.value.cause == 3
    assert caught.value.hopeless
    docs = space.state / "data_docs" / "prepare" / "index.html"
    assert docs.is_file()
    from tasks.support.tracking import Tracker

    tracker = Tracker(space.settings(), space)
    runs = tracker.client.search_runs([tracker.experiment_id()])
    assert [run.info.status for run in runs] == ["FAILED"]
    page = (space.output("prepare") / "overlap.html").read_text()
    assert "<mark>copy word0 word1 " in page
    logged = tracker.client.list_artifacts(runs[0].info.run_id, "prepare")
    assert "prepare/overlap.html" in [each.path for each in logged]
    report = json.loads((space.output("prepare") / "checks.json").read_text())
    failed = {c["expected"].get("column") for c in report["checks"] if not c["passed"]}
    assert {"reference_passes", "leaks"} <= failed


@pytest.mark.flow
def test_a_stage_that_is_terminated_is_killed_on_record(space: Workspace) -> None:
    code = (
        "import os, signal, sys, tasks.prepare, tasks.support.stage\n"
        "def run(stage):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    raise SystemExit('not reached')\n"
        "tasks.prepare.run = run\n"
        "tasks.support.stage.run_stage('prepare')\n"
    )
    freeze_settings(space)
    done = sh(space.root, sys.executable, "-c", code)
    assert done.returncode == 143, done.stderr
    from tasks.support.tracking import Tracker

    tracker = Tracker(space.settings(), space)
    runs = tracker.client.search_runs([tracker.experiment_id()])
    assert [run.info.status for run in runs] == ["KILLED"]
    assert not list((space.state / "active").glob("*.json"))


def test_every_file_dependency_of_dvc_yaml_exists(shared: Workspace) -> None:
    stages = yaml.safe_load((shared.root / "dvc.yaml").read_text())["stages"]
    made = {
        next(iter(out)) if isinstance(out, dict) else out
        for stage in stages.values()
        for kind in ("outs", "metrics", "plots")
        for out in stage.get(kind, [])
    }
    for name, stage in stages.items():
        for dependency in stage["deps"]:
            inside = {dependency, *map(str, Path(dependency).parents)}
            assert inside & made or (shared.root / dependency).exists(), (name, dependency)


def test_a_profile_is_written_into_the_file_and_nothing_of_another_is_left(
    shared: Workspace,
) -> None:
    file = shared.root / "params.yaml"
    before = file.read_text()
    try:
        assert write_settings(shared, "gpu")
        assert not write_settings(shared, "gpu")
        settings = shared.settings()
        assert (settings.machine.workers, settings.benchmark.limit) == (12, 0)
        assert profile_of(settings, shared.root) == "gpu"
        comments = [line.partition("#")[2] for line in before.splitlines()]
        assert [line.partition("#")[2] for line in file.read_text().splitlines()] == comments
        assert write_settings(shared, "code")
        # As DVC reads it: a plain text with a colon in a list is none to it.
        assert read_yaml(file)["data"]["sources"] == ["builtin", "jsonl:data/graded.jsonl"]
        assert profile_of(shared.settings(), shared.root) == "code"
        assert write_settings(shared, "quick")
        assert profile_of(shared.settings(), shared.root) == "quick"
        assert shared.settings().machine.workers == 2
    finally:
        file.write_text(before)


def test_changed_data_is_not_filed_under_the_old_version(
    shared: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(shared, monkeypatch)
    from falcon.errors import UserError

    version = dvc.ensure_data(shared.root, dvc.stale(shared.root))
    assert version.endswith(".dir")
    extra = shared.data / "extra.txt"
    extra.write_text("x")
    try:
        with pytest.raises(UserError, match=r"differs from data\.dvc"):
            dvc.ensure_data(shared.root, dvc.stale(shared.root, "data.dvc"))
    finally:
        extra.unlink()


def test_data_comes_back_from_the_remote_in_the_repository(space: Workspace) -> None:
    import shutil

    dvc.run(space.root, "push")
    assert (space.root / ".dvcstore").is_dir()
    shutil.rmtree(space.data)
    shutil.rmtree(space.root / ".dvc" / "cache")
    version = dvc.ensure_data(space.root, dvc.stale(space.root))
    assert path_md5(space.data) == version


def test_a_stage_that_is_cancelled_leaves_no_process_behind(space: Workspace) -> None:
    import psutil

    (space.root / "dvc.yaml").write_text("stages:\n  slow:\n    cmd: sleep 987\n")

    def stop(line: str) -> None:
        if "sleep 987" in line:
            time.sleep(0.5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dvc.repro(space.root, "slow", on_line=stop)
    mine = psutil.Process(os.getpid()).children(recursive=True)
    assert not [p for p in mine if "987" in " ".join(p.cmdline())]
