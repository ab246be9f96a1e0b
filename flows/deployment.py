"""Deployment: the training flow on a schedule, served from this process.

For a work pool and workers see ``prefect.yaml``, which deploys the same flow. The server
that holds the schedule must run before this is imported (``tasks/support/prefect_server.py``).
"""

import os
import threading
from typing import Any
from zoneinfo import available_timezones

from falcon.env import apply

apply()

from prefect.client.schemas.objects import (  # noqa: E402 - the environment comes first
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
)
from prefect.schedules import Cron  # noqa: E402

from falcon.errors import UserError  # noqa: E402
from flows.dead_runs import free_deployment, mark_dead_runs, sweep  # noqa: E402
from flows.training import train  # noqa: E402
from tasks.support.lifetime import owned_environment  # noqa: E402
from tasks.support.workspace import Workspace  # noqa: E402

PROMOTE, ROLLBACK = "promote", "rollback"
"""Names of the deployments of the flows of those names."""

ONE = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
"""One training at a time; runs that come due meanwhile, or after an outage at once, are dropped."""

PARAMETERS: dict[str, Any] = {"carry_on": True, "start": "champion"}
"""A scheduled run is a new one, from the model in service."""


def schedule(cron: str, timezone: str) -> Cron:
    """A cron schedule. Raises UserError for a malformed one."""
    if timezone not in available_timezones():
        raise UserError(f"`{timezone}` is no time zone.", hint="As in Europe/Berlin or UTC.")
    try:
        return Cron(cron, timezone=timezone)
    except ValueError as fault:
        lines = str(fault).splitlines()
        raise UserError(
            f"`{cron}` in `{timezone}` is no schedule: {lines[-1].strip() if lines else 'invalid'}",
            hint="Five fields: minute hour day month weekday, as in '0 3 * * 1'.",
        ) from None


def deployments(cron: str, timezone: str, name: str) -> tuple[Any, ...]:
    """The scheduled training, and promotion and rollback beside it; not yet known to a server.

    Only trainings keep each other out: an urgent rollback never waits for one.
    """
    from flows.promotion import promote, rollback

    training = train.to_deployment(
        name, schedule=schedule(cron, timezone), parameters=PARAMETERS, concurrency_limit=ONE
    )
    return training, promote.to_deployment(PROMOTE), rollback.to_deployment(ROLLBACK)


def serve(space: Workspace, cron: str, timezone: str, name: str, *, own: bool) -> None:
    """Register the schedule and run what comes due, until interrupted.

    ``own``: the server is of this workspace, so that no other machine runs the deployment.
    """
    from prefect import serve as serve_all

    served = deployments(cron, timezone, name)
    mark_dead_runs(space)
    if own:
        free_deployment(space, f"{train.name}/{name}")
    stop = threading.Event()
    threading.Thread(target=sweep, args=(space, stop), daemon=True, name="sweep").start()
    os.environ.update(owned_environment())  # its runs end with it
    try:
        # The pause of an old process may come after its restart, which would then run nothing.
        serve_all(*served, pause_on_shutdown=False)
    finally:
        stop.set()
