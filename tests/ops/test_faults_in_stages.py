"""Kills and interrupts at the boundaries of stages and inside them: the same command goes on."""

from __future__ import annotations

import itertools
import signal

import pytest

from tasks.support.workspace import STAGES
from tests.ops.clone import FALCON, Clone, Moment

LEFT = "the same command does what is left; results of an undisturbed run; no run stays RUNNING"
FLOW = "falcon.cli run"


def inside(stage: str) -> list[object]:
    """Three moments of a stage: before its first output, after the last, and before dvc.lock."""
    moments = {
        "before its first output": Moment(
            f"-m tasks {stage}", event="os.rename", text=f"outputs/{stage}/"
        ),
        "after its outputs, before its marker": Moment(
            f"-m tasks {stage}", event="os.rename", text=f"state/runs/{stage}.json"
        ),
        "after it ended, before dvc.lock names it": Moment(
            f"--single-item {stage}", call="dvc.dvcfile:ProjectFile.dump_stages"
        ),
    }
    # What DVC does after a stage does not depend on the stage, so the longest ones stand for all.
    chosen = list(moments.items())[: 3 if stage in ("train", "benchmark") else 2]
    return [
        pytest.param(
            stage, moment, marks=pytest.mark.row(stage, when, "kill -9", LEFT), id=f"{stage}-{n}"
        )
        for n, (when, moment) in enumerate(chosen)
    ]


HALF_WAY = [
    pytest.param(
        "rollout",
        Moment("-m tasks rollout", event="open", text="outputs/rollout/memory/"),
        marks=pytest.mark.row("rollout", "while its memory is written", "kill -9", LEFT),
        id="rollout-half-way",
    ),
    pytest.param(
        "benchmark",
        Moment("-m tasks benchmark", call="falcon.evaluation.benchmark:_run_chunks", count=2),
        marks=pytest.mark.row("benchmark", "between two policies", "kill -9", LEFT),
        id="benchmark-half-way",
    ),
]


@pytest.mark.parametrize(
    ("stage", "moment"), [*(each for stage in STAGES for each in inside(stage)), *HALF_WAY]
)
def test_a_stage_that_is_killed_is_made_by_the_same_command(
    clone: Clone, stage: str, moment: Moment
) -> None:
    before = clone.facts()
    clone.forget(stage)
    clone.killed("stage", stage, at=moment)
    clone.falcon("stage", stage).ok()
    clone.whole(before)


CHECKPOINT = Moment("-m tasks train", event="os.rename", text="step-000002")


@pytest.mark.row(
    "train", "between its steps", "kill -9", "goes on from its checkpoint, in the same MLflow run"
)
def test_a_training_that_is_killed_goes_on_from_its_checkpoint(clone: Clone) -> None:
    before = clone.facts()
    clone.forget("train")
    clone.killed("stage", "train", at=CHECKPOINT)
    (lost,) = set(clone.runs()) - set(before.runs)
    clone.falcon("stage", "train").ok()
    now = clone.whole(before)
    assert set(now.runs) - set(before.runs) == {lost}
    assert now.runs[lost] == "FINISHED"


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
    ("stop", "code"),
    [
        pytest.param(signal.SIGTERM, 143, id="sigterm", marks=pytest.mark.row(
            "train", "between its steps", "SIGTERM to `falcon run`",
            "exit 143, the run is KILLED on record, no process stays; the same command goes on",
        )),
        pytest.param(signal.SIGINT, 130, id="ctrl-c", marks=pytest.mark.row(
            "train", "between its steps", "Ctrl-C in `falcon run`",
            "exit 130, the run is KILLED on record, no process stays; the same command goes on",
        )),
    ],
)  # fmt: skip
def test_a_run_that_is_stopped_in_training_goes_on(
    clone: Clone, prefect_url: str, stop: signal.Signals, code: int
) -> None:
    before = clone.facts()
    clone.forget("train")
    running = clone.start(*FALCON, "run", at=CHECKPOINT, PREFECT_API_URL=prefect_url).reached()
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


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param(
            after,
            marks=pytest.mark.row(f"{first} to {after}", "between the two",
                                  "kill -9 of all", LEFT + "; what had ended is not done again"),
        )
        for first, after in itertools.pairwise(STAGES)
    ],
)  # fmt: skip
def test_a_run_that_is_killed_between_two_stages_goes_on(
    clone: Clone, prefect_url: str, stage: str
) -> None:
    before = clone.facts()
    earlier = STAGES[STAGES.index(stage) - 1]
    clone.forget(earlier, stage)
    at = Moment(FLOW, event="subprocess.Popen", text=f"'--single-item', '{stage}'")
    done = clone.killed("run", at=at, PREFECT_API_URL=prefect_url)
    assert f"{earlier}: ran" in done.all
    again = clone.falcon("run", PREFECT_API_URL=prefect_url).ok()
    assert f"{earlier}: up to date" in again.all
    assert f"{stage}: ran" in again.all
    clone.whole(before)


@pytest.mark.row(
    "run", "in its first stage", "kill -9 of `falcon run` alone",
    "no stage and no Prefect server stays behind; the same command goes on",
)  # fmt: skip
def test_a_command_that_is_killed_alone_leaves_no_process(clone: Clone) -> None:
    before = clone.facts()
    clone.forget("seed")
    at = Moment("-m tasks seed", event="os.rename", text="outputs/seed/")
    running = clone.start(*FALCON, "run", at=at).reached()
    running.send(signal.SIGKILL)
    running.go()
    running.end()
    clone.ends_alone(90)
    clone.falcon("run").ok()
    clone.whole(before)


REGISTRY = "tasks.support.registry:Registry"


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(f"{REGISTRY}.register", marks=pytest.mark.row(
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
    clone: Clone, prefect_url: str, call: str
) -> None:
    before = clone.facts()
    words = ("run", "--set", "seed=1")
    count = 2 if call.endswith("_tag") else 1
    clone.killed(*words, at=Moment(FLOW, call=call, count=count), PREFECT_API_URL=prefect_url)
    assert clone.serving() in ("1", "2")
    clone.falcon(*words, PREFECT_API_URL=prefect_url).ok()
    assert clone.aliases() == {"champion": "2", "previous": "1"}
    assert sorted(clone.versions()) == ["1", "2"]
    assert "RUNNING" not in clone.runs().values()
    assert clone.versions()["1"] == before.versions["1"]
