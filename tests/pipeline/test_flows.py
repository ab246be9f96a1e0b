"""Flows: schedules that fire, memory that is handed over, and what is tried again."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest
import yaml
from pipeline_workspace import REPOSITORY, enter, sh

from tasks.support import handover
from tasks.support.errors import StageFailed
from tasks.support.workspace import STAGES, Workspace


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


SCHEDULED = """
import asyncio, json, os, sys
from tasks.support.prefect_server import running
with running(int(sys.argv[1])) as url:
    from flows.deployment import deployment
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
    key = deployment("0 3 * * 1", "Europe/Berlin", "weekly").apply()

    async def look():
        async with get_client() as client:
            for _ in range(120):
                chosen = DeploymentFilter(id=DeploymentFilterId(any_=[key]))
                runs = await client.read_flow_runs(deployment_filter=chosen)
                if runs:
                    return runs
                await asyncio.sleep(0.5)
        return []

    runs = asyncio.run(look())
    first = min(runs, key=lambda r: r.expected_start_time)
    print("RESULT", json.dumps({
        "n": len(runs), "state": first.state.name, "parameters": first.parameters,
        "when": first.expected_start_time.strftime("%a %M"), "url": url,
    }))
"""


@pytest.mark.flow
def test_a_real_server_schedules_the_weekly_training(tmp_path: Path) -> None:
    port = free_port()
    done = sh(
        REPOSITORY,
        sys.executable,
        "-c",
        SCHEDULED,
        str(port),
        PREFECT_HOME=str(tmp_path / "prefect"),
        PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS="1",
        MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/mlflow.db",
    )
    line = next((x for x in done.stdout.splitlines() if x.startswith("RESULT ")), "")
    assert line, done.stdout + done.stderr
    result = json.loads(line.removeprefix("RESULT "))
    assert result["n"] >= 1
    assert result["state"] == "Scheduled"
    assert result["when"] == "Mon 00"
    assert result["parameters"] == {"carry_on": True}
    with socket.socket() as probe:  # the server that was started here is gone
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_malformed_schedule_is_refused() -> None:
    from falcon.errors import UserError
    from flows.deployment import schedule

    with pytest.raises(UserError, match="is no schedule"):
        schedule("every monday", "UTC")
    with pytest.raises(UserError, match="is no time zone"):
        schedule("0 3 * * 1", "Europe/Atlantis")


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


def test_memory_is_handed_over_when_a_run_starts_anew(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = space.output("train") / "memory" / "segment-000001.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("one\n")
    assert not handover.hand_over_memory(space, anew=True)  # nothing was published
    handover.publish_memory(space)
    handed_over = space.handover / "memory"
    # Nothing else is out of date: running again must find everything up to date.
    monkeypatch.setattr(handover.dvc, "is_stale", lambda root: False)
    assert not handover.hand_over_memory(space, anew=False)
    assert not list(handed_over.glob("*.jsonl"))
    monkeypatch.undo()
    enter(space, monkeypatch)
    assert handover.hand_over_memory(
        space, anew=False
    )  # nothing ever ran here, so all is out of date
    assert (handed_over / log.name).read_text() == "one\n"
    assert (handed_over / handover.README).is_file()
    assert not handover.hand_over_memory(space, anew=True)  # it is there already
    log.write_text("one\ntwo\n")
    handover.publish_memory(space)
    assert handover.hand_over_memory(space, anew=True)
    assert (handed_over / log.name).read_text() == "one\ntwo\n"
    status = sh(space.root, "git", "status", "--porcelain", "--", "handover")
    assert status.stdout == ""  # what is handed over never gets into git


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


def test_a_stage_starts_without_prefect() -> None:
    modules = ", ".join(f"tasks.{stage}" for stage in STAGES)
    code = f"import sys, tasks.__main__, tasks.support.stage, {modules}; print(sorted(sys.modules))"
    done = sh(REPOSITORY, sys.executable, "-c", code)
    assert "'tasks.gate'" in done.stdout, done.stderr
    assert "'prefect'" not in done.stdout


def test_prefect_s_server_can_be_imported_with_the_versions_here() -> None:
    done = sh(REPOSITORY, sys.executable, "-c", "import prefect.server.api.server")
    assert done.returncode == 0, done.stderr
