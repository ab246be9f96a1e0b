"""Deployments: the training flow on a schedule, and promotion, rollback and withdrawal beside it.

They are served from this process. For a work pool and workers see ``prefect.yaml``, which deploys
the same flows. The server that holds the schedule must run before this is imported
(``tasks/support/prefect_server.py``).
"""

import asyncio
import logging
import os
import socket
import threading
from dataclasses import dataclass
from typing import Any
from zoneinfo import available_timezones

from falcon.env import apply

apply()

from prefect import serve as serve_deployments  # noqa: E402 - the environment comes first
from prefect.client.orchestration import get_client  # noqa: E402
from prefect.client.schemas.objects import (  # noqa: E402
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    DeploymentStatus,
)
from prefect.exceptions import ObjectNotFound  # noqa: E402
from prefect.schedules import Cron  # noqa: E402
from prefect.server.schemas.schedules import CronSchedule  # noqa: E402
from pydantic import ValidationError  # noqa: E402

from falcon.config.profiles import profile_file  # noqa: E402
from falcon.errors import UserError  # noqa: E402
from flows.dead_runs import free_deployment, mark_dead_runs, outlast_runs, sweep  # noqa: E402
from flows.promotion import promote, rollback, withdraw  # noqa: E402
from flows.training import train  # noqa: E402
from tasks.support.lifetime import owned_environment  # noqa: E402
from tasks.support.workspace import Workspace  # noqa: E402

ONE = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
"""One training at a time; runs that come due meanwhile, or after an outage at once, are dropped."""

PARAMETERS: dict[str, Any] = {"carry_on": True, "start": "champion"}
"""A scheduled run is a new one, and starts from the model in service."""


@dataclass(frozen=True)
class TrainingPlan:
    """When a schedule trains, and how. ``name`` is that of its deployments."""

    cron: str
    timezone: str = "UTC"
    name: str = "weekly"
    profile: str = ""
    start: str = "champion"

    def schedule(self) -> Cron:
        """Raises UserError for a schedule that is malformed or never comes due."""
        if self.timezone not in available_timezones():
            raise UserError(
                f"`{self.timezone}` is no time zone.", hint="As in Europe/Berlin or UTC."
            )
        fault = "it has not five fields" if len(self.cron.split()) != 5 else self._fault()
        if fault:
            raise UserError(
                f"`{self.cron}` in `{self.timezone}` is no schedule: {fault}.",
                hint="Five fields: minute hour day month weekday, as in '0 3 * * 1'.",
            )
        return Cron(self.cron, timezone=self.timezone)

    def _fault(self) -> str:
        try:
            dates = asyncio.run(CronSchedule(cron=self.cron, timezone=self.timezone).get_dates(1))
        except ValidationError as fault:
            return str(fault.errors()[0]["msg"]).removeprefix("Value error, ")
        except ValueError:  # a search for the next date has found none
            dates = []
        return "" if dates else "it never comes due"

    @property
    def parameters(self) -> dict[str, Any]:
        """Of each scheduled training."""
        return {**PARAMETERS, "start": self.start, "profile": self.profile}


def _tags(space: Workspace, profile: str = "") -> list[str]:
    clone = f"clone:{socket.gethostname()}:{space.root}"
    return ["falcon", clone, *([f"profile:{profile}"] if profile else [])]


def deployments(space: Workspace, plan: TrainingPlan) -> tuple[Any, ...]:
    """The scheduled training and, beside it, what moves aliases; not yet known to a server.

    Only trainings keep each other out: an urgent rollback never waits for one. Raises UserError for
    an unknown profile or a malformed schedule.
    """
    if plan.profile:
        profile_file(space.root, plan.profile)
    training = train.to_deployment(
        plan.name,
        schedule=plan.schedule(),
        parameters=plan.parameters,
        concurrency_limit=ONE,
        tags=_tags(space, plan.profile),
        description="Train from the model in service, and promote if the gate passes.",
    )
    moves = (promote, rollback, withdraw)
    return training, *(flow.to_deployment(plan.name, tags=_tags(space)) for flow in moves)


def require_free_name(space: Workspace, name: str) -> None:
    """Raise UserError while a schedule of another clone serves this deployment."""
    with get_client(sync_client=True) as client:
        try:
            other = client.read_deployment_by_name(f"{train.name}/{name}")
        except ObjectNotFound:
            return
    clones = [tag for tag in other.tags if tag.startswith("clone:")]
    if other.status == DeploymentStatus.READY and clones and clones != _tags(space)[1:]:
        raise UserError(
            f"`{train.name}/{name}` is served from {clones[0].removeprefix('clone:')} already.",
            hint="Choose another name with --name.",
        )


def serve(space: Workspace, plan: TrainingPlan, *, own: bool) -> None:
    """Register the schedule and run what comes due, until interrupted.

    ``own``: the server is of this workspace, so that no other machine runs the deployment. Raises
    UserError for a malformed schedule, and for a name that another clone's schedule has.
    """
    served = deployments(space, plan)
    require_free_name(space, plan.name)
    mark_dead_runs(space)
    name = f"{train.name}/{plan.name}"
    if own:
        free_deployment(space, name)
    stop = threading.Event()
    threading.Thread(target=sweep, args=(space, stop), daemon=True, name="sweep").start()
    os.environ.update(owned_environment())  # its runs end with it
    # At its end Prefect complains of tasks of its own that are cancelled.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        # The pause of an old process may come after its restart, which would then run nothing.
        serve_deployments(*served, pause_on_shutdown=False)
    finally:
        stop.set()
        outlast_runs(space)
        mark_dead_runs(space)  # who is stopped may not have come to say so
        if own:
            free_deployment(space, name)
