"""Body: what every flow does around its own work."""

import contextlib
import functools
import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prefect import get_run_logger
from prefect.runtime import flow_run

from flows.dead_runs import mark_dead_runs, on_record
from tasks.flow_page import may_be_away
from tasks.stages import hide_tracebacks
from tasks.support.lifetime import end_with_owner
from tasks.support.lock import exclusive
from tasks.support.prefect_server import pages_address
from tasks.support.workspace import Workspace

P = ParamSpec("P")
R = TypeVar("R")


def flow_body(*, alone: bool) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function the body of a flow: it works in the workspace's folder, ends with the
    process that started it, is on record while it runs, and marks runs that died before it.

    ``alone``: no other run of the workspace at the same time; raises UserError while there is one.
    """

    def bodied(work: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(work)
        def body(*args: P.args, **kwargs: P.kwargs) -> R:
            hide_tracebacks()
            end_with_owner()
            space = Workspace.here()
            os.chdir(space.root)
            with contextlib.ExitStack() as stack:
                stack.enter_context(on_record(space, flow_run.id))
                if alone:
                    what = f"flow {flow_run.flow_name}"
                    stack.enter_context(exclusive(space, what))
                _mark_dead(space)
                _link()
                return work(*args, **kwargs)

        return body

    return bodied


def _mark_dead(space: Workspace) -> None:
    with may_be_away("runs that died are not marked"):
        for dead in mark_dead_runs(space):
            get_run_logger().warning("run %s was killed; it is marked Crashed now", dead)


def _link() -> None:
    """Name this flow run to what it starts, which puts it into the tags of its MLflow runs."""
    os.environ["FALCON_PREFECT_RUN_ID"] = str(flow_run.id)
    os.environ["FALCON_PREFECT_RUN_URL"] = f"{pages_address()}/runs/flow-run/{flow_run.id}"
