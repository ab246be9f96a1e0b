"""The whole pipeline with a tiny model: six stages, MLflow, registry, a second run, a schedule.

What the first run left is looked at where it lies; what changes something does so in a copy.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tasks.support.workspace import STAGES
from tests.ops.clone import Clone, Done


@pytest.fixture(scope="module")
def first(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The workspace of the first run. Nothing may be changed in it."""
    return Clone(finished, tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="module")
def said(finished: Path) -> Done:
    """What the first run said."""
    logs = finished.with_name("finished.logs") / "00"
    return Done(0, (logs / "out").read_text(), (logs / "err").read_text())


def test_every_stage_runs_and_leaves_what_it_promises(first: Clone, said: Done) -> None:
    space = first.space
    for stage in STAGES:
        assert said.how(stage) == "ran"
        checks = json.loads((space.output(stage) / "checks.json").read_text())
        assert checks["passed"] is True
        assert checks["evaluated"] > 0
    assert (space.output("train") / "policy" / "adapter_model.safetensors").is_file()
    assert (space.output("benchmark") / "report.html").stat().st_size > 1000
    gate = json.loads((space.output("gate") / "gate.json").read_text())
    assert gate["decision"] == "passed"
    assert gate["reasons"]


def test_prefect_shows_a_task_for_each_stage_and_what_it_depends_on(first: Clone) -> None:
    with sqlite3.connect(first.space.state / "prefect" / "prefect.db") as database:
        rows = database.execute("SELECT name, task_key, task_inputs FROM task_run").fetchall()
    assert {name for name, _, _ in rows} == set(STAGES)
    assert all(key.startswith(f"{name}-") for name, key, _ in rows)
    inputs = {name: len(json.loads(each)["inputs"]) for name, _, each in rows}
    assert inputs == dict(zip(STAGES, (0, 1, 2, 2, 2, 5), strict=True))


def test_the_screen_shows_what_came_out_of_each_stage_and_where_to_look(said: Done) -> None:
    for text in (
        "falcon run: profile custom, model ", "problems: 2 demo, 3 train", "programs, ", "2 steps, ",
        "pass@1 [95 % interval]: untrained, trained", "builtin: ", "passed against the untrained",
        "Version 1 is in service", "time went to:", "falcon ui", "report.html", "data_docs",
    ):  # fmt: skip
        assert text in said.out, said.out[-3000:]
    ended = [row for row in said.out.splitlines() if " at 0:" not in row]
    assert len(ended) <= 24, said.out
    assert said.err == ""


def test_prefect_has_the_log_that_the_screen_has_not(first: Clone) -> None:
    with sqlite3.connect(first.space.state / "prefect" / "prefect.db") as database:
        logged = "\n".join(row[0] for row in database.execute("SELECT message FROM log"))
        names = [row[0] for row in database.execute("SELECT name FROM flow_run")]
    assert "Running stage 'train'" in logged
    assert "train: ran" in logged
    assert [name.partition(" ")[0] for name in names] == ["train"]


def test_mlflow_has_one_parent_with_a_run_a_stage_and_the_model(first: Clone) -> None:
    client = first.client()
    runs = client.search_runs([client.get_experiment_by_name("falcon").experiment_id])
    parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    assert len(parents) == 1
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    assert {r.data.tags["stage"] for r in children} == set(STAGES)
    assert all(r.info.status == "FINISHED" for r in runs)
    train = next(r for r in children if r.data.tags["stage"] == "train")
    history = client.get_metric_history(train.info.run_id, "loss/total")
    assert [m.step for m in history] == [0, 1]
    assert first.aliases() == {"champion": "1"}


def test_samples_are_judged_again_and_results_stay_as_they_are(clone: Clone) -> None:
    space = clone.space
    kept = {p: p.read_bytes() for p in space.output("benchmark").iterdir()}
    done = clone.falcon("benchmark", "--rescore").ok()
    assert "pass@1" in done.out
    assert {p: p.read_bytes() for p in space.output("benchmark").iterdir()} == kept
    again = json.loads((space.state / "rescored" / "scores.json").read_text())
    before = json.loads((space.output("benchmark") / "scores.json").read_text())
    assert again["policies"] == before["policies"]
    assert again["comparisons"] == before["comparisons"]


def test_a_dry_run_says_what_memory_a_training_takes_and_changes_nothing(clone: Clone) -> None:
    kept = {p: p.stat().st_mtime_ns for p in clone.root.glob("outputs/train/**/*")}
    done = clone.falcon("train", "--dry-run", FALCON_SET__MACHINE__PROCESSES="2").ok()
    assert "generation" in done.out
    assert "MiB with programs as they are now, at most" in done.out
    assert "MiB of cpu" in done.out
    assert "each of 2 processes" in done.out
    assert kept == {p: p.stat().st_mtime_ns for p in clone.root.glob("outputs/train/**/*")}


def test_a_second_run_does_nothing_and_says_so(clone: Clone) -> None:
    before = clone.facts()
    kept = {p: p.stat().st_mtime_ns for p in clone.root.glob("outputs/*/metrics.json")}
    done = clone.falcon("run").ok()
    for stage in STAGES:
        assert done.how(stage) == "unchanged"
    assert kept == {p: p.stat().st_mtime_ns for p in kept}
    alone = clone.dvc("repro", "train").ok()
    assert "Data and pipelines are up to date" in alone.out
    clone.whole(before)
