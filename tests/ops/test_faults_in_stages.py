"""Kills and interrupts at the boundaries of stages and inside them: the same command goes on."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tasks.support.workspace import STAGES
from tests.ops.clone import AGAIN, FALCON, REGISTRY, Clone, Moment

LEFT = "the same command does what is left; results of an undisturbed run; no run stays RUNNING"
FLOW = "falcon.cli run"


def writes(stage: str, name: str) -> Moment:
    """When a stage puts the first of its files with that name into place."""
    return Moment(f"-m tasks {stage}", event="os.rename", text=name)


CHECKPOINT = writes("train", "step-000002")
IN_GATE = writes("gate", "outputs/gate/")
BEGINS = "between it and the stage before"
KILLS = [
    ("prepare", "before its first output", writes("prepare", "outputs/prepare/")),
    ("seed", BEGINS, None),
    ("seed", "before its first output", writes("seed", "outputs/seed/")),
    ("rollout", BEGINS, None),
    ("rollout", "while its memory is written",
     Moment("-m tasks rollout", event="open", text="outputs/rollout/memory/")),
    ("train", BEGINS, None),
    ("train", "between its steps", CHECKPOINT),
    ("benchmark", BEGINS, None),
    ("benchmark", "between two policies",
     Moment("-m tasks benchmark", call="falcon.evaluation.benchmark:_run_chunks", count=2)),
    ("gate", BEGINS, None),
    ("gate", "before its first output", IN_GATE),
    ("gate", "after its outputs, before its marker", writes("gate", "state/runs/gate.json")),
    ("gate", "after it ended, before dvc.lock names it",
     Moment("--single-item gate", call="dvc.dvcfile:ProjectFile.dump_stages")),
]  # fmt: skip
"""Stage, when, and the moment; None: as DVC is about to be started for it."""


def rows(function: Callable[..., None]) -> Callable[..., None]:
    for stage, when, _ in reversed(KILLS):
        function = pytest.mark.row(stage, when, "kill -9 of all", LEFT)(function)
    return function


@rows
def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(
    clone: Clone, prefect_url: str
) -> None:
    before = clone.facts()
    clone.forget(*STAGES)
    ended: list[str] = []
    for stage, when, moment in KILLS:
        popen = Moment(FLOW, event="subprocess.Popen", text=f"'--single-item', '{stage}'")
        done = clone.killed("run", at=moment or popen, PREFECT_API_URL=prefect_url)
        kept = [name for name in STAGES if done.how(name) == "unchanged"]
        assert kept == ended, f"{stage} {when}"  # what had ended is not done again
        ended += [name for name in STAGES if done.how(name) == "ran"]
    clone.falcon("run", PREFECT_API_URL=prefect_url).ok()
    now = clone.whole(before)
    new = [clone.client().get_run(run) for run in set(now.runs) - set(before.runs)]
    (training,) = (run for run in new if run.data.tags.get("stage") == "train")
    assert training.info.status == "FINISHED"  # it went on from its checkpoint, in the same run


@pytest.mark.nightly
@pytest.mark.row(
    "train", "between its steps", "kill -9 of one of two processes",
    "one line names the process; none stays; the same command goes on",
)  # fmt: skip
def test_a_training_that_loses_one_of_its_processes_says_so_and_goes_on(clone: Clone) -> None:
    before = clone.facts()
    clone.forget("train")
    two = {"FALCON_SET__MACHINE__PROCESSES": "2"}
    running = clone.start(*FALCON, "stage", "train", at=CHECKPOINT, **two).reached()
    other = next(p for p in clone.processes() if p.environ().get("RANK") == "1")
    other.kill()
    running.go()
    running.end().refused("rocess 1 of 2 of the training failed")
    clone.ends_alone()
    clone.falcon("stage", "train", **two).ok()
    # Two processes add up numbers in another order than one does.
    now = clone.whole(before, same_results=False)
    (run,) = set(now.runs) - set(before.runs)
    assert clone.client().get_run(run).data.metrics["processes"] == 2


@pytest.mark.parametrize(
    ("stage", "at", "stop", "code"),
    [
        pytest.param("gate", IN_GATE, signal.SIGTERM, 143, id="sigterm", marks=[
            pytest.mark.nightly,
            pytest.mark.row("gate", "before its first output", "SIGTERM to `falcon run`",
            "exit 143, the run is KILLED on record, no process stays; the same command goes on"),
        ]),
        pytest.param("train", CHECKPOINT, signal.SIGINT, 130, id="ctrl-c", marks=pytest.mark.row(
            "train", "between its steps", "Ctrl-C in `falcon run`",
            "exit 130, the run is KILLED on record, no process stays; the same command goes on",
        )),
    ],
)  # fmt: skip
def test_a_run_that_is_stopped_goes_on(
    clone: Clone, prefect_url: str, stage: str, at: Moment, stop: signal.Signals, code: int
) -> None:
    before = clone.facts()
    clone.forget(stage)
    running = clone.start(*FALCON, "run", at=at, PREFECT_API_URL=prefect_url).reached()
    if stop == signal.SIGINT:
        running.interrupt()
    else:
        running.send(stop)
    running.go()
    done = running.end()
    assert (done.code, "Traceback" in done.all) == (code, False), done.all[-3000:]
    clone.ends_alone()
    new = set(clone.runs()) - set(before.runs)
    assert {clone.runs()[run] for run in new} == {"KILLED"}
    clone.falcon("run", PREFECT_API_URL=prefect_url).ok()
    clone.whole(before)


@pytest.mark.nightly
@pytest.mark.row(
    "run", "in a stage", "kill -9 of `falcon run` alone",
    "no stage and no Prefect server stays behind; the same command goes on",
)  # fmt: skip
def test_a_command_that_is_killed_alone_leaves_no_process(clone: Clone) -> None:
    before = clone.facts()
    clone.forget("gate")
    running = clone.start(*FALCON, "run", at=IN_GATE).reached()
    running.send(signal.SIGKILL)
    running.go()
    running.end()
    clone.ends_alone(90)
    clone.falcon("run").ok()
    clone.whole(before)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param("", marks=pytest.mark.row(
            "gate to registry", "before the version is registered", "kill -9 of all",
            "the same command registers and promotes it, once")),
        pytest.param(f"{REGISTRY}.promote", marks=pytest.mark.row(
            "registry", "after the version is registered", "kill -9 of all",
            "the same command promotes it; no second version of the same files")),
        pytest.param("mlflow.tracking.client:MlflowClient.set_model_version_tag",
            marks=pytest.mark.row("registry", "between the aliases and their tags",
            "kill -9 of all", "one version in service; the same command ends it")),
    ],
    ids=["register", "promote", "aliases"],
)  # fmt: skip
def test_a_run_that_is_killed_in_the_registry_ends_it(
    clone_to_register: Clone, prefect_url: str, call: str
) -> None:
    clone = clone_to_register  # the first of the three kills has been
    before = clone.facts()
    if call:
        at = Moment(FLOW, call=call, count=2 if call.endswith("_tag") else 1)
        clone.killed(*AGAIN, at=at, PREFECT_API_URL=prefect_url)
    assert clone.serving() in ("1", "2")
    clone.falcon(*AGAIN, PREFECT_API_URL=prefect_url).ok()
    assert clone.aliases() == {"champion": "2", "previous": "1"}
    assert sorted(clone.versions()) == ["1", "2"]
    assert "RUNNING" not in clone.runs().values()
    assert clone.versions()["1"] == before.versions["1"]
