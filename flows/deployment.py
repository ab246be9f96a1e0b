"""Deployment: the training flow on a schedule, served from this process.

For a work pool and workers see ``prefect.yaml``, which deploys the same flow. The server
that holds the schedule must run before this is imported (``tasks/support/prefect_server.py``).
"""

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
from flows.training import train  # noqa: E402

ONE = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
"""One training at a time; runs that come due meanwhile, or after an outage at once, are dropped."""

PARAMETERS: dict[str, Any] = {"carry_on": True}
"""A scheduled run starts from the memory of the one before."""


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


def deployment(cron: str, timezone: str, name: str) -> Any:
    """The deployment of the training flow, not yet known to a server."""
    return train.to_deployment(
        name, schedule=schedule(cron, timezone), parameters=PARAMETERS, concurrency_limit=ONE
    )


def serve(cron: str, timezone: str, name: str) -> None:
    """Register the schedule and run what comes due, until interrupted."""
    train.serve(
        name=name,
        schedule=schedule(cron, timezone),
        parameters=PARAMETERS,
        global_limit=ONE,
        limit=1,
        # The pause of an old process may come after its restart, which would then run nothing.
        pause_on_shutdown=False,
    )
