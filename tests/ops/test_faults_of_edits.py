"""Edits during and between runs: each result is of one state of things, and says which."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from tests.ops.clone import FALCON, Clone, Moment

IN_BENCHMARK = Moment("-m tasks benchmark", event="os.rename", text="outputs/benchmark/")


def marker(clone: Clone, stage: str) -> dict[str, object]:
    """Of what a stage's present results were made."""
    from tasks.support.provenance import read_marker

    return dict(read_marker(clone.space, stage)["provenance"])


def add_code(clone: Clone, name: str) -> None:
    """A statement more: neither a comment nor text, which may be edited freely."""
    with (clone.root / name).open("a") as file:
        file.write("\nADDED_BY_A_TEST = 1\n")


@pytest.mark.nightly
@pytest.mark.row(
    "benchmark", "while it runs", "params.yaml is edited",
    "the run goes on with what it began with, to the gate; the next run sees the edit",
)  # fmt: skip
def test_settings_edited_during_a_run(clone: Clone, prefect_url: str) -> None:
    before = clone.facts()
    clone.forget("benchmark", "gate")
    extra = {"PREFECT_API_URL": prefect_url}
    running = clone.start(*FALCON, "run", at=IN_BENCHMARK, **extra).reached()
    tree = yaml.safe_load((clone.root / "params.yaml").read_text())
    tree["gate"]["tolerance"] = 0.9
    (clone.root / "params.yaml").write_text(yaml.safe_dump(tree))
    running.go()
    running.end().ok()
    now = clone.whole(before, edited=["params.yaml"])
    done = clone.falcon("run", **extra).ok()
    assert done.how("benchmark") == "unchanged"
    assert done.how("gate") == "ran"
    assert clone.results() != now.results


@pytest.mark.nightly
@pytest.mark.row(
    "benchmark", "while it runs", "the code of a later stage is edited",
    "each stage's record has the commit it was made of: benchmark clean, gate dirty",
)  # fmt: skip
def test_code_of_a_later_stage_edited_during_a_run(clone: Clone, prefect_url: str) -> None:
    clone.forget("benchmark", "gate")
    extra = {"PREFECT_API_URL": prefect_url}
    running = clone.start(*FALCON, "run", at=IN_BENCHMARK, **extra).reached()
    add_code(clone, "tasks/gate.py")
    running.go()
    done = running.end()
    if done.code:  # a stage may refuse code that is not that of the run's beginning
        done.refused()
    clone.falcon("run", **extra).ok()
    assert not str(marker(clone, "benchmark")["git.commit"]).endswith("-dirty")
    assert str(marker(clone, "gate")["git.commit"]).endswith("-dirty")
    assert clone.falcon("run", **extra).ok().how("benchmark") == "unchanged"


@pytest.mark.nightly
@pytest.mark.row(
    "gate", "while it runs", "the code of the running stage is edited",
    "the result is not taken for one of the new code: the stage runs again",
)  # fmt: skip
def test_code_of_the_running_stage_edited(clone: Clone) -> None:
    before = clone.facts()
    clone.forget("gate")
    at = Moment("-m tasks gate", event="os.rename", text="outputs/gate/")
    running = clone.start(*FALCON, "stage", "gate", at=at).reached()
    add_code(clone, "tasks/gate.py")
    running.go()
    running.end()
    done = clone.falcon("stage", "gate").ok()
    assert done.how("gate") == "ran"
    clone.whole(before, edited=["tasks/gate.py"])


@pytest.mark.nightly
@pytest.mark.row(
    "prepare", "before a run", "data/ is edited",
    "refused in one line before any stage; `dvc checkout` undoes it",
)  # fmt: skip
def test_data_edited_before_a_run(clone: Clone) -> None:
    before = clone.facts()
    file = clone.root / "data" / "problems.jsonl"
    content = file.read_text()
    file.unlink()
    file.write_text(content.replace("middle", "centre"))
    clone.falcon("run").refused("data.dvc", "dvc checkout")
    clone.dvc("checkout", "--force", "data.dvc").ok()
    assert clone.falcon("run").ok().how("gate") == "unchanged"
    clone.whole(before)


@pytest.mark.nightly
@pytest.mark.row(
    "prepare", "while it runs", "data/ is edited",
    "the result is not taken for one of the new data: refused, or made again",
)  # fmt: skip
def test_data_edited_during_a_run(clone: Clone) -> None:
    before = clone.facts()
    clone.forget("prepare")
    at = Moment("-m tasks prepare", event="os.rename", text="outputs/prepare/")
    running = clone.start(*FALCON, "stage", "prepare", at=at).reached()
    file = clone.root / "data" / "problems.jsonl"
    content = file.read_text()
    file.unlink()
    file.write_text(content.replace("middle", "centre"))
    running.go()
    running.end()
    clone.falcon("run").refused("data.dvc")
    clone.dvc("checkout", "--force", "data.dvc").ok()
    clone.falcon("stage", "prepare").ok()
    clone.whole(before)


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        pytest.param("rollout", "checks.json", id="checks", marks=[
            pytest.mark.nightly,
            pytest.mark.row("rollout", "between runs", "its checks.json is edited by hand",
                            "the next run puts DVC's back; nothing is promoted of it")]),
        pytest.param("benchmark", "scores.json", id="scores", marks=pytest.mark.row(
            "benchmark", "between runs", "its scores.json is edited by hand",
            "the next run puts DVC's back; nothing is promoted of it")),
    ],
)  # fmt: skip
def test_results_edited_by_hand(clone: Clone, prefect_url: str, stage: str, name: str) -> None:
    before = clone.facts()
    file = clone.space.output(stage) / name
    tree = json.loads(file.read_text())
    file.unlink()
    file.write_text(json.dumps({**tree, "by": "hand"}))
    clone.falcon("run", PREFECT_API_URL=prefect_url).ok()
    assert "by" not in json.loads(file.read_text())
    clone.whole(before)


@pytest.mark.nightly
@pytest.mark.row(
    "gate", "between runs", "a critical check is made stricter",
    "the stage it judges is stale: the gate does not trust results of the old checks",
)  # fmt: skip
def test_stricter_checks_make_a_stage_stale(clone: Clone) -> None:
    clone.edit(
        "tasks/prepare.py", 'column="statement", min_value=1', 'column="statement", min_value=2'
    )
    done = clone.falcon("stage", "prepare").ok()
    assert done.how("prepare") == "ran"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        pytest.param("params.yaml", "seed: [0\n", "params.yaml", marks=pytest.mark.row(
            "run", "at its start", "params.yaml is broken",
            "one line that names the file; mended, all is up to date")),
        pytest.param("dvc.lock", "stages: [\n<<<<<<< HEAD\n", "dvc.lock", marks=pytest.mark.row(
            "run", "at its start", "dvc.lock has a merge conflict",
            "one line that names the file; mended, all is up to date")),
        pytest.param("dvc.yaml", "stages: [\n", "dvc.yaml", marks=pytest.mark.row(
            "run", "at its start", "dvc.yaml is broken",
            "one line that names the file; mended, all is up to date")),
        pytest.param("data.dvc", "outs: [\n", "data.dvc", marks=pytest.mark.row(
            "run", "at its start", "data.dvc is broken",
            "one line that names the file; mended, all is up to date")),
    ],
)  # fmt: skip
def test_a_broken_file_is_named(clone: Clone, name: str, text: str, said: str) -> None:
    before = clone.facts()
    file = clone.root / name
    good = file.read_text()
    file.write_text(text)
    clone.falcon("run").refused(said)
    file.write_text(good)
    clone.falcon("stage", "gate").ok()
    clone.whole(before)


@pytest.mark.row(
    "run", "at its start", "data/ and its remote are gone",
    "one line; nothing else is lost; put back, all is up to date",
)  # fmt: skip
def test_a_data_remote_that_is_missing(clone: Clone) -> None:
    before = clone.facts()
    kept = clone.root.with_name("kept")
    shutil.move(clone.root / "data", kept)
    cache = clone.root / ".dvc" / "cache"
    shutil.move(cache, clone.root.with_name("cache"))
    shutil.rmtree(clone.root / ".dvcstore", ignore_errors=True)
    clone.falcon("run").refused("data")
    shutil.rmtree(cache, ignore_errors=True)
    shutil.move(clone.root.with_name("cache"), cache)
    shutil.move(kept, clone.root / "data")
    clone.falcon("stage", "gate").ok()
    clone.whole(before)
