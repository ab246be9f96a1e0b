"""Flow page: what a flow run shows on its page in Prefect, beside its log.

The work needs none of it: where Prefect's server does not answer, it goes on with a warning.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from falcon.errors import without_passwords
from tasks.support.offline_queue import LOCAL
from tasks.support.run_page import PAGE
from tasks.support.tracking import TrackedRun
from tasks.support.workspace import Workspace

MLFLOW_PAGES = "http://127.0.0.1:5000"
"""Where `falcon ui` shows the MLflow of a workspace that has no server of its own."""


@contextmanager
def may_be_away(what_is_lost: str) -> Iterator[None]:
    """Go on with a warning where Prefect's server does not answer."""
    try:
        yield
    except httpx.HTTPError as fault:
        get_run_logger().warning("Prefect is away, so %s (%s)", what_is_lost, type(fault).__name__)


def publish(key: str, text: str) -> None:
    """Show a Markdown text on the page of the flow run, if Prefect answers."""
    with may_be_away(f"`{key}` is not on its pages"):
        create_markdown_artifact(text, key=key)


def publish_link(key: str, address: str, text: str) -> None:
    """Show a link on the page of the flow run, if Prefect answers."""
    with may_be_away(f"the link to {address} is not on its pages"):
        create_link_artifact(address, text, description=text, key=key)


def describe(name: str, tags: Mapping[str, str]) -> None:
    """Name the flow run by what it does, and tag it (``key:value``), if Prefect answers."""
    with may_be_away("the run keeps its name"), get_client(sync_client=True) as client:
        listed = [f"{key}:{value}" for key, value in tags.items() if value]
        client.update_flow_run(flow_run.id, name=name, tags=["falcon", *listed])


def link_mlflow(run: TrackedRun) -> None:
    """Link the page of the MLflow run, unless its tracker is away."""
    if run.id.startswith(LOCAL):
        return
    try:
        experiment = run.tracker.experiment_id()
    except Exception:  # noqa: BLE001 - the tracker has just gone away: there is no page to link
        return
    uri = run.tracker.uri.rstrip("/")
    served = uri.startswith("http")
    pages = without_passwords(uri) if served else MLFLOW_PAGES
    text = "The MLflow run" if served else "The MLflow run (`falcon ui` shows it)"
    publish_link("mlflow-run", f"{pages}/#/experiments/{experiment}/runs/{run.id}", text)


def places(space: Workspace) -> str:
    """Where the report and the Data Docs lie, in Markdown."""
    files = [space.state / PAGE, space.output("benchmark") / "report.html"]
    files += sorted((space.state / "data_docs").glob("*/index.html"))
    listed = [f"- [{file.relative_to(space.root)}]({file.as_uri()})" for file in files]
    return "\n\n### Report and Data Docs\n\n" + "\n".join(listed) + "\n"
