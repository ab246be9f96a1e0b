"""Flows: schedules that fire, memory that is handed over, and what is tried again."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest
import yaml
from pipeline_workspace import REPOSITORY, sh

from tasks.support.errors import StageFailed
from tasks.support.workspace import STAGES


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


SCHEDULED = """
import asyncio, json, os, socket, sys
from pathlib import Path
from tasks.support.files import write_json
from tasks.support.prefect_server import running
from tasks.support.workspace import Workspace
space = Workspace(Path(sys.argv[2]))
with running(int(sys.argv[1])) as url:
    from flows.dead_runs import free_deployment, mark_dead_runs
    from flows.deployment import deployments
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
    from prefect.states import Pending, Running
    key, *_ = [each.apply() for each in deployments("0 3 * * 1", "Europe/Berlin", "weekly")]

    async def look():
        async with get_client() as client:
            for _ in range(120):
                chosen = DeploymentFilter(id=DeploymentFilterId(any_=[key]))
                runs = await client.read_flow_runs(deployment_filter=chosen)
                if runs:
                    return runs
                await asyncio.sleep(0.5)
        return []

    def lost(client, record):
        "A run whose process was killed: with a record of its process, or before it wrote one."
        run = client.create_flow_run_from_deployment(key)
        for state in (Pending(), Running()):
            accepted = client.set_flow_run_state(run.id, state)
            assert accepted.status.value == "ACCEPT", accepted
        if record:
            gone = {"pid": 2**22 + 1, "born": 1.0, "host": socket.gethostname()}
            write_json(space.state / "flows" / f"{run.id}.json", gone)
        return run.id

    runs = asyncio.run(look())
    leases = Path(os.environ["PREFECT_HOME"], "concurrency_leases")
    with get_client(sync_client=True) as client:
        one = lost(client, True)
        kept = len([x for x in leases.glob("*.json") if x.name != "expirations.json"])
        marked = mark_dead_runs(space)
        two = lost(client, False)
        free_deployment(space, "falcon-train/weekly")
        states = [client.read_flow_run(x).state.name for x in (one, two)]
        active = client.read_deployment(key).global_concurrency_limit.active_slots
    first = min(runs, key=lambda r: r.expected_start_time)
    print("RESULT", json.dumps({
        "n": len(runs), "state": first.state.name, "parameters": first.parameters,
        "when": first.expected_start_time.strftime("%a %M"), "url": url, "kept": kept,
        "marked": marked == [str(one)], "states": states, "active": active,
    }))
"""


@pytest.mark.flow
def test_a_real_server_schedules_the_training_and_places_of_lost_runs_are_given_back(
    tmp_path: Path,
) -> None:
    port = free_port()
    done = sh(
        REPOSITORY,
        sys.executable,
        "-c",
        SCHEDULED,
        str(port),
        str(tmp_path),
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
    assert result["kept"] == 1  # on disk, so that a server that is started again knows it
    assert result["marked"]
    assert result["states"] == ["Crashed", "Crashed"]
    assert result["active"] == 0  # else no run that comes due would start
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
