"""What a user sees: one line for a fault of theirs, and what is in force."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
import yaml
from pipeline_workspace import enter, sh

import falcon
from falcon import doctor, env
from falcon.cli import main as cli
from falcon.errors import UserError
from falcon.sandbox.isolation import NOT_CONTAINED, probe
from tasks.support import prefect_server
from tasks.support.run_report import PipelineResult, StageOutcome, shares
from tasks.support.workspace import Workspace


def run(shared: Workspace, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return sh(shared.root, sys.executable, "-m", "falcon.cli", *words, **extra)


def test_commands_of_the_library_and_of_the_pipeline_are_there(shared: Workspace) -> None:
    done = run(shared, "--help")
    assert done.returncode == 0, done.stderr
    for command in ("config", "doctor", "run", "stage", "schedule", "promote", "rollback", "ui"):
        assert f" {command} " in done.stdout


def test_an_unknown_stage_is_one_line(shared: Workspace) -> None:
    for done in (
        run(shared, "stage", "trian"),
        sh(shared.root, sys.executable, "-m", "tasks", "trian"),
    ):
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "unknown stage `trian`" in done.stderr
        assert "prepare, seed, rollout, train, benchmark, gate" in done.stderr
        assert "Traceback" not in done.stderr


def test_an_unknown_setting_is_one_line_wherever_it_is_met(
    shared: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(shared, monkeypatch)
    file = shared.root / "params.yaml"
    before = file.read_text()
    file.write_text(before.replace("  top_k: 3", "  top_kk: 3"))
    try:
        assert cli.run(["config"]) == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert "unknown key `memory.top_kk`. Did you mean `top_k`?" in message
        done = sh(shared.root, sys.executable, "-m", "tasks", "prepare")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    finally:
        file.write_text(before)


def test_config_prints_the_settings_of_a_profile(
    shared: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(shared, monkeypatch)
    assert cli.run(["config", "--profile", "gpu"]) == 0
    tree = yaml.safe_load(capsys.readouterr().out)
    assert tree["machine"]["workers"] == 12
    assert tree["train"]["meta"]["inner_lr"] == 0.1  # not quick's, which the file has


def test_a_traceback_comes_only_when_asked_for(shared: Workspace) -> None:
    done = run(shared, "config", "--profile", "nope", FALCON_DEBUG="1")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_outside_of_a_workspace_it_says_where_it_looked(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["config"]) == 2
    assert "params.yaml is not there" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"no dvc\.yaml"):
        Workspace.here()


def test_the_environment_is_set_and_the_user_s_is_kept(tmp_path) -> None:
    mine = {"HF_HUB_OFFLINE": "0", "MLFLOW_RUN_ID": "x", "PATH": "/usr/bin"}
    env.apply(tmp_path, mine)
    assert mine["HF_HUB_OFFLINE"] == "0"
    assert "MLFLOW_RUN_ID" not in mine
    assert mine["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/state/mlflow.db"
    assert mine["PREFECT_HOME"] == f"{tmp_path}/state/prefect"
    assert mine["PATH"].endswith(":/usr/bin")
    path = mine["PATH"]
    env.apply(tmp_path, mine)
    assert mine["PATH"] == path
    theirs = {"PREFECT_API_URL": "http://prefect:4200/api"}
    env.apply(tmp_path, theirs)
    assert "PREFECT_HOME" not in theirs


def test_doctor_says_what_the_sandbox_does_not_contain(tmp_path) -> None:
    findings = {finding.name: finding for finding in doctor.examine(tmp_path)}
    level, *lines = findings["isolation"].text.splitlines()
    lines = [line for line in lines if not line.startswith("why not ")]
    assert level == probe().level
    assert lines == [f"not contained: {each}" for each in NOT_CONTAINED[level]]
    assert len(lines) >= 3


def test_doctor_misses_data_and_a_shadowed_mlflow_and_says_what_to_do(tmp_path) -> None:
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "__init__.py").write_text("")
    findings = {finding.name: finding for finding in doctor.examine(tmp_path)}
    assert findings["packages"].state == "ok"
    assert findings["mlflow"].state == "missing"
    assert "Remove" in findings["mlflow"].todo
    assert (findings["data"].state, findings["settings"].state) == ("missing", "missing")
    assert "dvc add data" in findings["data"].todo


def test_a_port_in_use_is_said_before_anything_starts(
    shared: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(shared, monkeypatch)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.run(["ui", "--port", str(port)]) == 2
        assert f"port {port} is in use" in capsys.readouterr().err
        assert cli.run(["schedule", "--port", str(port)]) == 2
        assert f"port {port} is in use, and not by a Prefect server" in capsys.readouterr().err
        script = sh(shared.root, str(shared.root / "mlflow" / "server.sh"), str(port))
        assert script.returncode == 2
        assert f"port {port} on 127.0.0.1 is in use" in script.stderr
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
    with pytest.raises(UserError, match="no Prefect server answers"), prefect_server.running(port):
        pass


def test_time_outside_the_work_of_stages_is_orchestration() -> None:
    rollout = {"generate": 30.0, "execute": 10.0, "work_s": 41.0}
    train = {"generate": 20.0, "update": 25.0, "all_s": 99.0, "work_s": 47.0}
    stages = (
        StageOutcome("rollout", "ran", 45.0, times=rollout),
        StageOutcome("train", "ran", 48.0, times=train),
        StageOutcome("gate", "up to date", 1.0),
    )
    result = PipelineResult(stages, {}, "1", promoted=False, why_not="", seconds=100.0)
    kinds = {"generation": 50.0, "execution": 10.0, "training": 25.0}
    more = {"data, checks and reports": 3.0, "orchestration": 12.0}
    assert shares(result) == kinds | more


def test_a_setting_is_overridden_before_and_after_the_command(shared: Workspace) -> None:
    done = run(shared, "--set", "train.steps=3", "config", "--set", "train.meta.order=2")
    tree = yaml.safe_load(done.stdout)
    assert (tree["train"]["steps"], tree["train"]["meta"]["order"]) == (3, 2)
    done = run(shared, "config", FALCON_SET__TRAIN__STEPS="4", FALCON_SET__MEMORY__AT="train")
    tree = yaml.safe_load(done.stdout)
    assert (tree["train"]["steps"], tree["memory"]["at"]) == (4, "train")
    for words, extra in (
        (("doctor", "--set", "train.stepz=3"), {}),
        (("problems", "list", "--set", "train.steps=x"), {}),
        (("problems", "list"), {"FALCON_SET__TRAIN__STEPS": "x"}),
    ):
        done = run(shared, *words, **extra)
        assert (words[0] == "doctor") or (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "train.step" in done.stdout + done.stderr


def test_what_dvc_runs_takes_overrides_from_the_file(shared: Workspace) -> None:
    file = shared.root / "params.yaml"
    before = file.read_text()
    words = ("stage", "gate", "--set", "train.steps=3", "--set", "gate.tolerance=0.5")
    try:
        done = run(shared, *words, "--set", "data.sources=[builtin]", "--set", "memory.at=both")
        assert done.returncode != 0  # there is nothing to decide on: only the file is looked at
        changed = file.read_text().splitlines()
        old = before.splitlines()
        assert [new for new in changed if new not in old] == [
            "  at: both # train | eval | both | off: where there is recall (docs/memory.md)",
            "  steps: 3 # meta-updates",
            "  tolerance: 0.5  # greatest fall of pass@1 on any benchmark",
        ]
        assert [line for line in old if line not in changed] == [
            "  at: off # train | eval | both | off: where there is recall (docs/memory.md)",
            "  steps: 6 # meta-updates",
            "  tolerance: 0.03 # greatest fall of pass@1 on any benchmark",
        ]
        assert (shared.settings().train.steps, shared.settings().gate.tolerance) == (3, 0.5)
        file.write_text(before)
        assert run(shared, "stage", "gate", "--set", "gate.tolerance=-1").returncode == 2
        for words in (("stage", "gate"), ("run",), ("benchmark",)):
            done = run(shared, *words, FALCON_SET__TRAIN__STEPS="3")
            assert (done.returncode, done.stderr.count("\n")) == (2, 1)
            assert "FALCON_SET__TRAIN__STEPS" in done.stderr
            assert "--set train.steps=VALUE" in done.stderr
        done = sh(shared.root, sys.executable, "-m", "tasks", "gate", FALCON_SET__SEED="1")
        assert "FALCON_SET__SEED: stages take `seed` from params.yaml" in done.stderr
        assert file.read_text() == before
    finally:
        file.write_text(before)


def test_the_version_is_printed(shared: Workspace) -> None:
    assert run(shared, "--version").stdout == f"falcon {falcon.__version__}\n"
