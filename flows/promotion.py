"""Promotion and rollback: flows that move the aliases of the registry.

They change what is in service, so they are no DVC stages. ``falcon promote`` does the same without
Prefect; on a Prefect server it is on record who did it and when.
"""

from falcon.env import apply

apply()

from prefect import flow, get_run_logger  # noqa: E402 - the environment comes first

from flows.body import flow_body  # noqa: E402
from tasks.flow_page import publish  # noqa: E402
from tasks.support.registry import Registry  # noqa: E402


def _report(text: str) -> None:
    get_run_logger().info(text)
    publish("falcon-promotion", f"{text.capitalize()}.")


@flow(name="falcon-promote")  # type: ignore[untyped-decorator]
@flow_body(alone=False)
def promote(approve: bool = False, why: str = "") -> str:
    """Promote the challenger; returns the version in service."""
    version = Registry.here().promote_trained(approve=approve, why=why)
    _report(f"version {version.number} is in service")
    return version.number


@flow(name="falcon-rollback")  # type: ignore[untyped-decorator]
@flow_body(alone=False)
def rollback(to: str = "", why: str = "") -> str:
    """Withdraw the champion and put the one before it back into service; returns its version."""
    version = Registry.here().rollback(to=to, why=why)
    _report(f"version {version.number} is in service again")
    return version.number
