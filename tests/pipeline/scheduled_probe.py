"""What a real Prefect server makes of a schedule: run in a process of its own, prints JSON."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

from tasks.support.files import write_json
from tasks.support.lifetime import ProcessId
from tasks.support.prefect_server import running
from tasks.support.workspace import Workspace

NAME = "falcon-train/weekly"
received: list[dict[str, Any]] = []


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200 if "/good" in self.path else 500)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def first_runs(client: Any, key: UUID) -> list[Any]:
    """The runs that the server itself has made for a deployment."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

    chosen = DeploymentFilter(id=DeploymentFilterId(any_=[key]))
    for _ in range(240):
        if runs := client.read_flow_runs(deployment_filter=chosen):
            return sorted(runs, key=lambda run: run.expected_start_time)
        time.sleep(0.5)
    return []


def lost(client: Any, space: Workspace, key: UUID, *, record: bool) -> UUID:
    """A run whose process was killed: with a record of its process, or before it wrote one."""
    from prefect.states import Pending, Running

    run = client.create_flow_run_from_deployment(key)
    for state in (Pending(), Running()):
        accepted = client.set_flow_run_state(run.id, state)
        assert accepted.status.value == "ACCEPT", accepted
    if record:
        gone = replace(ProcessId.here(), pid=2**22 + 1)
        write_json(space.state / "flows" / f"{run.id}.json", gone.as_json())
    return UUID(str(run.id))


def messages(space: Workspace) -> list[dict[str, Any]]:
    """What arrives of messages sent to a block, to one that refuses them, and to none."""
    from prefect.blocks.webhook import Webhook
    from pydantic import SecretStr

    from flows.notify import notify

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    Thread(target=server.serve_forever, daemon=True).start()
    for name in ("good", "bad"):
        address = f"http://127.0.0.1:{server.server_port}/{name}/s3cret"
        Webhook(url=SecretStr(address)).save(name)
    params = space.root / "params.yaml"
    for name in ("webhook/good", "webhook/bad", "webhook/absent"):
        text = params.read_text().partition("notify:")[0]
        params.write_text(text + f"notify:\n  block: {name}\n  events: [promotion]\n")
        notify("promotion", f"to {name}", version="3")
        notify("refusal", "not asked for")
    return received


def main(port: int) -> None:
    space = Workspace.here()
    with running(port) as url:
        from prefect.client.orchestration import get_client

        from flows.dead_runs import free_deployment, mark_dead_runs
        from flows.deployment import TrainingPlan, deployments

        plan = TrainingPlan("0 3 * * 1", "Europe/Berlin", profile="quick", start="base")
        key, *others = [each.apply() for each in deployments(space, plan)]
        leases = Path(os.environ["PREFECT_HOME"], "concurrency_leases")
        with get_client(sync_client=True) as client:
            runs = first_runs(client, key)
            one = lost(client, space, key, record=True)
            kept = len([x for x in leases.glob("*.json") if x.name != "expirations.json"])
            marked = mark_dead_runs(space)
            two = lost(client, space, key, record=False)
            free_deployment(space, NAME)
            training = client.read_deployment(key)
            result = {
                "state": runs[0].state.name,
                "parameters": runs[0].parameters,
                "when": runs[0].expected_start_time.strftime("%a %M"),
                "kept": kept,
                "marked": marked == [str(one)],
                "states": [client.read_flow_run(run).state.name for run in (one, two)],
                "active": training.global_concurrency_limit.active_slots,
                "limits": [client.read_deployment(k).global_concurrency_limit for k in others],
                "choices": training.parameter_openapi_schema["properties"],
                "tags": training.tags,
                "messages": messages(space),
                "url": url,
                "host": socket.gethostname(),
            }
    print("RESULT", json.dumps(result))


if __name__ == "__main__":
    main(int(sys.argv[1]))
