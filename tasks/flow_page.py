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
