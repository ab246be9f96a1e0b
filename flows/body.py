"""Body: what every flow does around its own work."""

import functools
import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import httpx
from prefect import get_run_logger
from prefect.runtime import flow_run

from flows.dead_runs import mark_dead_runs, on_record
from tasks.stages import hide_tracebacks
from tasks.support.lifetime import end_with_owner
from tasks.support.workspace import Workspace

P = ParamSpec("P")
R = TypeVar("R")


def flow_body(work: Callable[P, R]) -> Callable[P, R]:
    """Make a function the body of a flow: it works in the workspace's folder, ends with the
    process that started it, is on record while it runs, and marks runs that died before it.
    """

    @functools.wraps(work)
    def body(*args: P.args, **kwargs: P.kwargs) -> R:
        hide_tracebacks()
        end_with_owner()
        space = Workspace.here()
        os.chdir(space.root)
        try:
            for dead in mark_dead_runs(space):
                get_run_logger().warning("run %s was killed; it is marked Crashed now", dead)
        except httpx.HTTPError as fault:
            get_run_logger().warning("runs that died are not marked: %s", fault)
        with on_record(space, flow_run.id):
            return work(*args, **kwargs)

    return body
