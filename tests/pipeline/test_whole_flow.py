"""The whole pipeline with a tiny model: six stages, MLflow, registry, a second run, a schedule."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from models import tiny_causal
from pipeline_workspace import make_workspace, set_values, sh
from test_flows import free_port

from falcon import env
from tasks.support.workspace import STAGES, Workspace

SIZES = {
    "policy": {"dtype": "float32", "lora_rank": 4, "max_prompt_tokens": 900},
    "sampling": {"max_new_tokens": 24, "batch_size": 8},
    "memory": {"demonstrations": 2, "encoder": "hash", "recall_tokens": 120},
    "rollout": {"problems": 2, "samples": 2},
    "train": {
        "steps": 2,
        "validate_every": 1,
        "validation_problems": 1,
        "meta": {"tasks": 2, "samples": 2, "evaluation_samples": 1},
    },
    "machine": {"processes": 2},
    "benchmark": {"limit": 2, "max_new_tokens": 24, "names": ["builtin"]},
    # An untrained model fails in the same few ways whatever is done with it.
    "gate": {"max_tamper_rate": 1.0},
}


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a tiny model and settings that take seconds."""
    made = make_workspace(tmp_path_factory.mktemp("whole") / "work")
    model = tiny_causal(tmp_path_factory.mktemp("model"), chat=True)
    set_values(made, {**SIZES, "policy": SIZES["policy"] | {"model": str(model)}})
    return made


def run(space: Workspace, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return sh(space.root, sys.executable, "-m", "falcon.cli", *words, COLUMNS="200", **env)


@pytest.fixture(scope="module")
def first(space: Workspace) -> subprocess.CompletedProcess[str]:
    done = run(space, "run")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done


@pytest.mark.flow
@pytest.mark.timeout(600)
def test_every_stage_runs_and_leaves_what_it_promises(
    space: Workspace, first: subprocess.CompletedProcess[str]
) -> None:
    output = first.stdout + first.stderr
    for stage in STAGES:
        assert f"{stage}: ran" in output
        checks = json.loads((space.output(stage) / "checks.json").read_text())
        assert checks["passed"] is True
        assert checks["evaluated"] > 0
    assert (space.output("train") / "policy" / "adapter_model.safetensors").is_file()
    assert (space.output("benchmark") / "report.html").stat().st_size > 1000
    gate = json.loads((space.output("gate") / "gate.json").read_text())
    assert gate["decision"] in ("passed", "refused")
    assert gate["reasons"]


@pytest.mark.flow
@pytest.mark.timeout(600)
def test_prefect_shows_a_task_for_each_stage_and_what_it_depends_on(
    space: Workspace, first: subprocess.CompletedProcess[str]
) -> None:
    with sqlite3.connect(space.state / "prefect" / "prefect.db") as database:
        rows = database.execute("SELECT name, task_key, task_inputs FROM task_run").fetchall()
    assert {name for name, _, _ in rows} == set(STAGES)
    assert all(key.startswith(f"{name}-") for name, key, _ in rows)
    inputs = {name: len(json.loads(each)["inputs"]) for name, _, each in rows}
    assert inputs == dict(zip(STAGES, (0, 1, 2, 2, 2, 5), strict=True))


@pytest.mark.flow
@pytest.mark.timeout(600)
def test_the_screen_shows_scores_times_the_decision_and_where_to_look(
    first: subprocess.CompletedProcess[str],
) -> None:
    for text in ("pass@1", "base", "trained", "Gate", "falcon ui", "report.html", "data_docs"):
        assert text in first.stdout, first.stdout[-3000:]


@pytest.mark.flow
@pytest.mark.timeout(600)
def test_mlflow_has_one_parent_with_a_run_a_stage_and_the_model(
    space: Workspace, first: subprocess.CompletedProcess[str]
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{space.state}/mlflow.db")
    experiment = client.get_experiment_by_name("falcon")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    assert len(parents) == 1
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    assert {r.data.tags["stage"] for r in children} == set(STAGES)
    assert all(r.info.status == "FINISHED" for r in runs)
    train = next(r for r in children if r.data.tags["stage"] == "train")
    history = client.get_metric_history(train.info.run_id, "loss/total")
    assert [m.step for m in history] == [0, 1]
    assert train.data.metrics["processes"] == 2
    version = client.get_model_version_by_alias(
        "falcon-codegen",
        "champion"
        if "promoted" in first.stdout and "not promoted" not in first.stdout
        else "challenger",
    )
    assert int(version.version) == 1


@pytest.mark.flow
@pytest.mark.timeout(600)
def test_samples_are_judged_again_and_results_stay_as_they_are(
    space: Workspace, first: subprocess.CompletedProcess[str]
) -> None:
    kept = {p: p.read_bytes() for p in space.output("benchmark").iterdir()}
    done = run(space, "benchmark", "--rescore")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "pass@1" in done.stdout
    assert {p: p.read_bytes() for p in space.output("benchmark").iterdir()} == kept
    again = json.loads((space.state / "rescored" / "scores.json").read_text())
    before = json.loads((space.output("benchmark") / "scores.json").read_text())
    assert again["policies"] == before["policies"]
    assert again["comparisons"] == before["comparisons"]


@pytest.mark.flow
@pytest.mark.timeout(600)
def test_a_dry_run_says_what_memory_a_training_takes_and_changes_nothing(
    space: Workspace, first: subprocess.CompletedProcess[str]
) -> None:
    kept = {p: p.stat().st_mtime_ns for p in space.root.glob("outputs/train/**/*")}
    done = run(space, "train", "--dry-run")
    assert done.returncode == 0, done.stderr[-4000:]
    assert "generation" in done.stdout
    assert "MiB with programs as they are now, at most" in done.stdout
    assert "MiB of cpu" in done.stdout
    assert "each of 2 processes" in done.stdout
    assert kept == {p: p.stat().st_mtime_ns for p in space.root.glob("outputs/train/**/*")}


@pytest.mark.flow
@pytest.mark.timeout(600)
def test_a_second_run_does_nothing_and_says_so(
    space: Workspace, first: subprocess.CompletedProcess[str]
) -> None:
    kept = {p: p.stat().st_mtime_ns for p in space.root.glob("outputs/*/metrics.json")}
    done = run(space, "run")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    output = done.stdout + done.stderr
    for stage in STAGES:
        assert f"{stage}: up to date" in output
    assert kept == {p: p.stat().st_mtime_ns for p in kept}
    alone = sh(space.root, sys.executable, "-m", "dvc", "repro", "train")
    assert alone.returncode == 0
    assert "Data and pipelines are up to date" in alone.stdout


@pytest.mark.flow
@pytest.mark.timeout(600)
def test_with_mlflow_away_the_work_is_kept_and_the_record_made_later(
    space: Workspace, first: subprocess.CompletedProcess[str]
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{space.state}/mlflow.db")
    experiment = client.get_experiment_by_name("falcon")
    assert experiment is not None

    def parents() -> list[str]:
        runs = client.search_runs([experiment.experiment_id])
        return [r.info.run_id for r in runs if "mlflow.parentRunId" not in r.data.tags]

    before = parents()
    uri = f"http://127.0.0.1:{free_port()}"
    shutil.rmtree(space.output("gate"))
    done = run(space, "run", MLFLOW_TRACKING_URI=uri)
    output = done.stdout + done.stderr
    assert done.returncode == 2, output[-4000:]
    assert "Comparing with the model fetched last" in output
    assert "gate: ran" in output
    last = done.stderr.strip().splitlines()[-3:]
    assert f"the model registry at {uri} failed" in " ".join(last), output[-3000:]
    assert "Start the tracker" in " ".join(last)
    assert parents() == before
    done = run(space, "run")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert len(parents()) == len(before) + 2
    assert not list((space.state / "spool").glob("*.jsonl"))


@pytest.mark.flow
@pytest.mark.timeout(600)
def test_a_schedule_starts_a_run_by_itself(
    space: Workspace, first: subprocess.CompletedProcess[str]
) -> None:
    port = free_port()
    mine = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PREFECT_"))}
    environment = mine | {"PYTHONPATH": str(space.root)}
    env.apply(space.root, environment)
    log = space.state / "schedule.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "falcon.cli", "schedule",
                "--cron", "* * * * *", "--port", str(port),
            ],
            cwd=space.root,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            started = _wait_for(log, "prepare", seconds=240)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)
    assert started, log.read_text()[-4000:]


def _wait_for(log: Path, word: str, *, seconds: float) -> bool:
    """Whether the scheduled run's own log reaches its first stage in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if word in log.read_text():
            return True
        time.sleep(1)
    return False
