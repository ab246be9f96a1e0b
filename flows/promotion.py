"""Promotion and rollback: moving the aliases of the registry, as flows of their own.

They change what is in service, so they are no DVC stages. The command line calls the plain
functions; the flows are for a Prefect server, where who did it and when is on record.
"""

from __future__ import annotations

from falcon.env import apply

apply()

from prefect import flow, get_run_logger  # noqa: E402 - the environment comes first
from prefect.artifacts import create_markdown_artifact  # noqa: E402

from flows import quiet  # noqa: E402
from tasks.support.registry import Registry, Version  # noqa: E402
from tasks.support.tracking import Tracker  # noqa: E402
from tasks.support.workspace import Workspace  # noqa: E402


def open_registry() -> Registry:
    """The registry of the workspace around the working folder."""
    space = Workspace.here()
    settings = space.settings()
    tracker = Tracker(settings, space)
    tracker.spool.replay()
    return Registry(tracker, settings)


def promote_now(approve: bool = False) -> Version:
    """Register the trained policy if it is not, and put it into service if the gate allows.

    ``approve`` sets the gate's decision aside, never its hashes. Raises Refused.
    """
    registry = open_registry()
    registry.register()
    return registry.promote(approve_refused=approve)


@flow(name="falcon-promote")  # type: ignore[untyped-decorator]
def promote(approve: bool = False) -> str:
    """Promote the challenger; returns the version in service."""
    quiet.install()
    version = promote_now(approve)
    get_run_logger().info("version %s is in service", version.number)
    create_markdown_artifact(f"Version {version.number} is in service.", key="falcon-promotion")
    return version.number


@flow(name="falcon-rollback")  # type: ignore[untyped-decorator]
def rollback() -> str:
    """Put the previous champion back into service; returns its version."""
    quiet.install()
    version = open_registry().rollback()
    get_run_logger().info("version %s is in service again", version.number)
    create_markdown_artifact(
        f"Version {version.number} is in service again.", key="falcon-promotion"
    )
    return version.number
