"""Flows: schedules that fire, memory that is handed over, and what is tried again."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest
import yaml
from pipeline_workspace import REPOSITORY, sh

from falcon.errors import UserError
from tasks.stages import FlowContext
from tasks.support.errors import StageFailed
from tasks.support.run_report import StageOutcome
from tasks.support.workspace import STAGES, Workspace


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.flow
def test_a_real_server_schedules_the_training_and_places_of_lost_runs_are_given_back(
    space: Workspace,
) -> None:
    port = free_port()
    done = sh(
        space.root,
        sys.executable,
        str(Path(__file__).with_name("scheduled_probe.py")),
        str(port),
        PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS="1",
    )
    line = next((x for x in done.stdout.splitlines() if x.startswith("RESULT ")), "")
    assert line, done.stdout + done.stderr
    result = json.loads(line.removeprefix("RESULT "))
    assert result["state"] == "Scheduled"
    assert result["when"] == "Mon 00"
    assert result["parameters"] == {"carry_on": True, "start": "base", "profile": "quick"}
    assert result["kept"] == 1  # on disk, so that a server that is started again knows it
    assert result["marked"]
    assert result["states"] == ["Crashed", "Crashed"]
    assert result["active"] == 0  # else no run that comes due would start
    assert result["limits"] == [None] * 3  # a rollback waits for nothing
    profiles = sorted(file.stem for file in (space.root / "profiles").glob("*.yaml"))
    assert result["choices"]["profile"]["enum"] == ["", *profiles]
    assert result["choices"]["start"]["enum"] == ["", "champion", "base"]
    assert result["tags"] == ["falcon", f"clone:{result['host']}:{space.root}", "profile:quick"]
    # The one that is refused has arrived, too; neither it nor the absent one fails the run.
    assert [each["text"] for each in result["messages"]] == ["to webhook/good", "to webhook/bad"]
    assert result["messages"][0]["version"] == "3"
    assert "message about the promotion is not sent" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr
    with socket.socket() as probe:  # the server that was started here is gone
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize(
    ("cron", "fault"),
    [
        ("every monday", "has not five fields"),
        ("@weekly", "has not five fields"),
        ("0 0 3 * * 1", "has not five fields"),  # with seconds it would run every day at midnight
        ("61 3 * * 1", "Invalid cron"),
        ("0 3 * * 8", "Invalid cron"),
        ("R 3 * * *", "unsupported"),
        ("0 3 31 2 *", "never comes due"),
    ],
)
def test_a_malformed_schedule_is_refused(cron: str, fault: str) -> None:
    from flows.deployment import TrainingPlan

    with pytest.raises(UserError, match=f"is no schedule: .*{fault}") as caught:
        TrainingPlan(cron).schedule()
    assert "\n" not in caught.value.message


def test_names_of_months_and_days_are_taken_and_unknown_zones_and_profiles_refused(
    space: Workspace,
) -> None:
    from flows.deployment import TrainingPlan, deployments

    for cron in ("0 3 * jan,jul mon-fri", "0 3 29 2 *", "*/5 * L * *", "0 3 * * 1#2"):
        assert TrainingPlan(cron, "Europe/Berlin").schedule().cron == cron
    with pytest.raises(UserError, match="is no time zone"):
        TrainingPlan("0 3 * * 1", "Europe/Atlantis").schedule()
    with pytest.raises(UserError, match="unknown profile"):
        deployments(space, TrainingPlan("0 3 * * 1", profile="quik"))


def test_prefect_yaml_deploys_flows_that_exist_with_parameters_they_take() -> None:
    import importlib
    import inspect

    tree = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())
    for each in tree["deployments"]:
        file, name = each["entrypoint"].split(":")
        module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
        taken = inspect.signature(getattr(module, name).fn).parameters
        assert set(each.get("parameters", {})) <= set(taken)
    weekly = tree["deployments"][0]
    assert weekly["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
    from flows.deployment import ONE, PARAMETERS

    assert weekly["parameters"] == PARAMETERS
    assert (ONE.limit, ONE.collision_strategy.value) == (1, "CANCEL_NEW")


@pytest.mark.parametrize(
    ("cause", "hopeless"), [(1, False), (-9, False), (137, False), (2, True), (3, True)]
)
def test_only_faults_that_may_pass_are_tried_again(cause: int, hopeless: bool) -> None:
    assert StageFailed("train", cause, "message").hopeless is hopeless


def test_each_stage_has_a_prefect_task_of_its_name() -> None:
    from tasks import stages

    made = [getattr(stages, name) for name in STAGES]
    assert [task.name for task in made] == list(STAGES)
    assert [task.task_key.rpartition("-")[0] for task in made] == list(STAGES)


@pytest.mark.parametrize(
    ("stage", "before", "force", "skipped"),
    [
        ("rollout", ("up to date", "up to date"), False, True),
        ("rollout", ("up to date", "ran"), False, False),
        ("rollout", ("restored", "up to date"), False, False),
        ("rollout", ("up to date", "up to date"), True, False),
        ("train", ("up to date", "up to date"), False, False),
    ],
)
def test_dvc_is_not_asked_again_about_a_stage_as_long_as_nothing_before_it_ran(
    stage: str, before: tuple[str, ...], force: bool, skipped: bool
) -> None:
    context = FlowContext(Path(), "", force, {"prepare", "seed", "rollout"})
    inputs = [StageOutcome(name, how, 0.0) for name, how in zip(STAGES, before, strict=False)]
    assert context.skips(stage, inputs) is skipped


def test_a_stage_starts_without_prefect() -> None:
    modules = ", ".join(f"tasks.{stage}" for stage in STAGES)
    code = f"import sys, tasks.__main__, tasks.support.stage, {modules}; print(sorted(sys.modules))"
    done = sh(REPOSITORY, sys.executable, "-c", code)
    assert "'tasks.gate'" in done.stdout, done.stderr
    assert "'prefect'" not in done.stdout


def test_prefect_s_server_can_be_imported_with_the_versions_here() -> None:
    done = sh(REPOSITORY, sys.executable, "-c", "import prefect.server.api.server")
    assert done.returncode == 0, done.stderr


def test_dvc_lock_is_read_as_dvc_writes_it(tmp_path: Path) -> None:
    from tasks.support.dvc import lock

    params = "{outputs/settings.yaml: {memory: {at: off}}}"
    (tmp_path / "dvc.lock").write_text(f"stages:\n  seed:\n    params: {params}\n")
    assert lock(tmp_path)["seed"]["params"]["outputs/settings.yaml"] == {"memory": {"at": "off"}}
