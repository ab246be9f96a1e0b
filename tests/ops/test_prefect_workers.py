"""prefect.yaml on a real server with a real worker: rollback beside a training, human approval."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ops.clone import Clone, Moment, Running
from tests.ops.servers import prefect_server

PREFECT = (sys.executable, "-m", "prefect")
IN_SEED = Moment("-m tasks seed", event="os.rename", text="outputs/seed/")


class Api:
    """The API of a Prefect server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/{path}",
            data=json.dumps(body or {}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=30) as reply:
            return json.load(reply)

    def start(self, name: str, **parameters: Any) -> str:
        """A run of a deployment; its id."""
        key = self.get(f"deployments/name/{name}")["id"]
        run = self.post(f"deployments/{key}/create_flow_run", {"parameters": parameters})
        return str(run["id"])

    def state(self, run: str) -> str:
        return str(self.get(f"flow_runs/{run}")["state_name"])

    def until(self, worker: Running, run: str, *names: str) -> None:
        def reached() -> bool:
            time.sleep(0.5)
            return self.state(run) in names

        worker.until(reached, 300)

    def asked(self) -> list[dict[str, Any]]:
        """Runs that ask for an approval."""
        named = {"flow_runs": {"tags": {"all_": ["approval"]}}}
        return list(self.post("flow_runs/filter", named))


@contextmanager
def deployed(clone: Clone, folder: Path, at: Moment | None = None) -> Iterator[tuple[Api, Running]]:
    """A server to which prefect.yaml is deployed, and a worker."""
    with prefect_server(folder) as server:
        clone.environment |= {
            "PREFECT_API_URL": f"{server.url}/api",
            "FALCON_ROOT": str(clone.root),
            "PREFECT_CLI_PROMPT": "false",
        }
        clone.sh(*PREFECT, "work-pool", "create", "falcon", "--type", "process").ok()
        clone.sh(*PREFECT, "--no-prompt", "deploy", "--all").ok()
        yield (
            Api(f"{server.url}/api"),
            clone.start(*PREFECT, "worker", "start", "--pool", "falcon", at=at),
        )


@pytest.mark.nightly
@pytest.mark.row(
    "run", "in a scheduled training", "an urgent rollback by its deployment",
    "the rollback completes while the training runs; the training ends",
)  # fmt: skip
def test_a_rollback_does_not_wait_for_a_training(clone_of_two: Clone, tmp_path: Path) -> None:
    clone = clone_of_two
    clone.forget("seed")
    with deployed(clone, tmp_path / "prefect", at=IN_SEED) as (api, worker):
        training = api.start("falcon-train/weekly", carry_on=False, start="")
        worker.reached()
        rollback = api.start("falcon-rollback/rollback", why="it writes nonsense", by="on call")
        api.until(worker, rollback, "Completed", "Failed", "Crashed")
        assert api.state(rollback) == "Completed"
        assert api.state(training) == "Running"
        assert clone.serving() == "1"
        worker.go()
        api.until(worker, training, "Completed", "Failed", "Crashed")
        assert api.state(training) == "Completed", worker.text()[-4000:]
        assert clone.serving() == "1"  # the training has not undone it
        name = api.get(f"flow_runs/{training}")["name"]
        assert name.startswith("train ")
        assert "seed" in name


@pytest.mark.nightly
@pytest.mark.row(
    "gate", "after it passed", "mlflow/registry.yaml wants a human approval",
    "the training ends; a run is suspended until a person answers; only then the version serves",
)  # fmt: skip
def test_a_version_waits_for_a_person(clone: Clone, tmp_path: Path) -> None:
    clone.edit("mlflow/registry.yaml", "approval: none", "approval: human")
    clone.sh("git", "commit", "-qam", "approval").ok()
    with deployed(clone, tmp_path / "prefect") as (api, worker):
        training = api.start("falcon-train/weekly")
        api.until(worker, training, "Completed", "Failed", "Crashed")
        assert api.state(training) == "Completed", worker.text()[-4000:]
        (question,) = api.asked()
        assert question["name"] == "promote version 2?"
        api.until(worker, question["id"], "Suspended")
        assert clone.aliases() == {"champion": "1", "challenger": "2"}
        answer = {"approve": True, "why": "read its programs", "by": "Ada"}
        # Prefect saves what it asks for only after it has said that the run is suspended.
        resume = f"flow_runs/{question['id']}/resume"
        worker.until(lambda: api.post(resume, {"run_input": answer})["status"] == "ACCEPT")
        api.until(worker, question["id"], "Completed", "Failed", "Crashed")
        assert api.state(question["id"]) == "Completed", worker.text()[-4000:]
    assert clone.serving() == "2"
    version = clone.client().get_model_version("falcon-codegen", "2")
    assert "Ada" in str(version.tags)
    assert "read its programs" in str(version.tags)
