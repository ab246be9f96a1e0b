"""Approval: a version that passed the gate waits for a person, with `promotion.approval: human`.

The training itself does not wait: it would hold the workspace and its place, and Prefect cancels a
run whose place it has given back. It starts a run of the promotion's deployment instead, which is
suspended: no process waits, and a schedule that is started again still knows of it.
"""

from typing import Any

from falcon.env import apply

apply()

from prefect.client.orchestration import get_client  # noqa: E402 - the environment comes first
from prefect.exceptions import ObjectNotFound  # noqa: E402
from prefect.flow_runs import suspend_flow_run  # noqa: E402
from prefect.runtime import deployment  # noqa: E402
from pydantic import BaseModel  # noqa: E402

from flows.notify import WAITS, notify  # noqa: E402
from tasks.flow_page import may_be_away, publish_link  # noqa: E402
from tasks.support.prefect_server import pages_address  # noqa: E402

PROMOTE = "falcon-promote"
"""The flow that promotes."""


class Approval(BaseModel):
    """What a person answers, in Prefect's pages or by its API."""

    approve: bool = False
    why: str = ""
    by: str = ""


def ask(version: str) -> str:
    """Ask for the approval of a version; says where it can be given.

    Without a deployment of the promotion, as in `falcon run`, that is `falcon promote` alone.
    """
    where = f"{WAITS} `falcon promote`"
    with may_be_away("nobody is asked there"), get_client(sync_client=True) as client:
        if (promotion := _promotion(client)) is not None:
            run = client.create_flow_run_from_deployment(
                promotion.id,
                name=f"promote version {version}?",
                parameters={"version": version, "ask": True},
                tags=["falcon", "approval"],
            )
            address = f"{pages_address()}/runs/flow-run/{run.id}"
            publish_link("approval", address, f"Approve version {version}, or refuse it")
            where = f"{WAITS} approval at {address}, or for `falcon promote`"
    notify("approval", f"version {version} passed the gate; {where}", version=version)
    return where


def _promotion(client: Any) -> Any:
    """The promotion's deployment beside that of this run: of its name, or of its own."""
    for name in (deployment.name, "promote"):
        try:
            if deployment.name:
                return client.read_deployment_by_name(f"{PROMOTE}/{name}")
        except ObjectNotFound:
            continue
    return None


def wait_for_answer(hours: float) -> Approval:
    """Suspend this run until a person answers; it fails when nobody does in that time."""
    answer: Approval = suspend_flow_run(
        wait_for_input=Approval, timeout=int(hours * 3600), key="approval"
    )
    return answer
