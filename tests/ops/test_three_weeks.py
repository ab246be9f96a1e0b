"""Three weeks of a schedule on real servers: each run builds on the model in service."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.support.files import path_md5
from tests.ops.clone import FALCON, Clone
from tests.ops.servers import Server
from tests.processes import free_port


def _ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as fault:
            # Prefect's answer while another writes to its database: ask again, as its clients do.
            if fault.code != 503 or time.monotonic() > end:
                raise
            time.sleep(1)


def _week(api: str) -> None:
    """A run of the deployment comes due now; wait for its end."""
    deployment = _ask(f"{api}/deployments/name/falcon-train/weekly")["id"]
    due = {"state": {"type": "SCHEDULED"}}
    run = _ask(f"{api}/deployments/{deployment}/create_flow_run", due)["id"]
    end = time.monotonic() + 900
    while (state := _ask(f"{api}/flow_runs/{run}")["state"])["type"] != "COMPLETED":
        assert state["type"] in ("SCHEDULED", "PENDING", "RUNNING"), state
        assert time.monotonic() < end, state
        time.sleep(0.5)


def _logs(folder: Path) -> list[str]:
    return [path_md5(log) for log in sorted(folder.glob("*.jsonl"))]


def _version(clone: Clone, number: str, target: Path) -> dict[str, Any]:
    """What a version was made of: its tags, its lineage, and the logs of its memory."""
    import mlflow

    mlflow.set_tracking_uri(clone.uri)
    version = clone.client().get_model_version("falcon-codegen", number)
    uri = f"models:/falcon-codegen/{number}"
    home = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(target)))
    lineage = json.loads((home / "artifacts" / "lineage.json").read_text())
    return {
        "policy": version.tags["policy.md5"],
        "lineage": lineage,
        "memory": _logs(home / "artifacts" / "memory"),
    }


@pytest.mark.row(
    "schedule", "three weeks in a row", "the gate refuses the second week's model",
    "each run starts from the last promoted one; the refused one leaves no trace in the next",
)  # fmt: skip
def test_each_week_starts_from_the_last_promoted_model_and_a_refused_one_leaves_no_trace(
    fresh_clone: Clone, tracker: Server, tmp_path: Path
) -> None:
    clone, port = fresh_clone, free_port()
    clone.uri = tracker.url
    clone.environment["MLFLOW_TRACKING_URI"] = tracker.url
    schedule = clone.start(*FALCON, "schedule", "--cron", "0 3 1 1 *", "--port", str(port))
    schedule.until_said("Prefect:")
    api = f"http://127.0.0.1:{port}/api"
    handover, gate = clone.root / "handover", clone.space.output("gate") / "gate.json"

    def begun() -> tuple[str, int]:
        card = json.loads((handover / "start" / "start.json").read_text())
        settings = yaml.safe_load((clone.root / "outputs" / "settings.yaml").read_text())
        return card["version"], settings["seed"]

    schedule.until(lambda: _deployed(api), 120)
    assert _ask(f"http://127.0.0.1:{port}/ui-settings")["api_url"] == api  # what its pages ask
    _week(api)
    assert begun() == ("", 1)
    assert json.loads(gate.read_text())["decision"] == "passed", gate.read_text()
    assert clone.aliases() == {"champion": "1"}
    assert _logs(handover / "memory") == []
    first = _version(clone, "1", tmp_path / "1")
    assert first["lineage"]["start"] == {"version": "", "policy": ""}

    clone.edit("params.yaml", "require: not_worse", "require: better")  # than which it is not
    _week(api)
    assert begun() == ("1", 2)
    assert json.loads(gate.read_text())["decision"] == "refused"
    assert clone.aliases() == {"champion": "1", "challenger": "2"}
    assert _logs(handover / "memory") == first["memory"]
    second = _version(clone, "2", tmp_path / "2")
    assert second["memory"] != first["memory"]

    clone.edit("params.yaml", "require: better", "require: not_worse")
    _week(api)
    assert begun() == ("1", 3)
    assert json.loads(gate.read_text())["opponent"] == {"policy": "champion", "version": "1"}
    assert clone.aliases() == {"champion": "3", "previous": "1"}
    third = _version(clone, "3", tmp_path / "3")
    assert third["lineage"]["start"] == {"version": "1", "policy": first["policy"]}
    assert path_md5(handover / "start" / "adapter") == first["policy"]
    assert _logs(handover / "memory") == first["memory"]
    assert third["policy"] not in (first["policy"], second["policy"])
    assert schedule.process.poll() is None


def _deployed(api: str) -> bool:
    try:
        return bool(_ask(f"{api}/deployments/name/falcon-train/weekly"))
    except OSError:
        return False
