"""The six stages as Prefect tasks, for flows: each runs its DVC stage in a child process.

So device memory is freed between stages and a crash stays in the child. Stages' files never import
this one: they start without Prefect, which takes seconds to import and hangs on a full disk.
"""

import logging
import os
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from falcon.env import apply

apply()

import httpx  # noqa: E402 - the environment comes first
from prefect import get_run_logger, task  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402

from falcon.errors import UserError  # noqa: E402
from tasks.flow_page import publish  # noqa: E402
from tasks.support import dvc  # noqa: E402
from tasks.support.check_report import report_markdown  # noqa: E402
from tasks.support.errors import StageFailed  # noqa: E402
from tasks.support.files import read_json  # noqa: E402
from tasks.support.lock import note_stage  # noqa: E402
from tasks.support.params import repro_stage  # noqa: E402
from tasks.support.provenance import read_marker  # noqa: E402
from tasks.support.run_console import shown  # noqa: E402
from tasks.support.run_report import StageOutcome  # noqa: E402
from tasks.support.stage_code import code_is_recorded  # noqa: E402
from tasks.support.stage_output import ENVIRONMENT, StageOutput  # noqa: E402
from tasks.support.stage_summary import stage_lines  # noqa: E402
from tasks.support.workspace import STAGES, Workspace  # noqa: E402

RETRY_DELAY = 10.0
"""Seconds before a stage that failed for reasons of its own is tried once more."""

NOISE = (
    "To track", "\tgit add", "To enable", "\tdvc config", "Generating lock", "Updating lock",
    "Use `dvc push`",
)  # fmt: skip
"""How those lines of DVC begin that do not help a user of the flow."""


@dataclass(frozen=True)
class FlowContext:
    """What a flow's stages share: the MLflow run above theirs, and ``force`` to run all of them.

    ``up_to_date``: stages of which DVC said so when the flow began. They need not be asked about
    again as long as those before them are, too.
    """

    root: Path
    parent: str
    force: bool
    up_to_date: Collection[str] = ()

    def skips(self, stage: str, inputs: Iterable[StageOutcome]) -> bool:
        """Whether DVC need not be started for a stage, which takes a second or two."""
        unchanged = all(each.how == "up to date" for each in inputs)
        return not self.force and stage in self.up_to_date and unchanged


def log_line(logger: Any) -> Callable[[str], None]:
    """A function that logs a line of DVC's output, unless it is noise."""

    def log(line: str) -> None:
        if line.strip() and not line.startswith(NOISE):
            logger.info(line)

    return log


class _OneLine(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        fault = record.exc_info[1] if record.exc_info else None
        if isinstance(fault, (UserError, httpx.HTTPError)):  # the latter: Prefect's server is away
            record.exc_info = None
            record.exc_text = None
        return True


def hide_tracebacks() -> None:
    """Cut the tracebacks of what is no defect from flow and task logs, unless FALCON_DEBUG=1."""
    if os.environ.get("FALCON_DEBUG") == "1":
        return
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logger = logging.getLogger(name)
        if not any(isinstance(each, _OneLine) for each in logger.filters):
            logger.addFilter(_OneLine())


def _worth_retrying(task: Any, run: Any, state: Any) -> bool:
    """A crash or a full device may pass; bad settings, bad data and failed checks do not."""
    try:
        state.result()
    except Exception as fault:  # noqa: BLE001 - anything unknown may pass
        if not isinstance(fault, UserError) or (
            isinstance(fault, StageFailed) and not fault.hopeless
        ):
            shown().warn(f"{fault} It is tried again in {RETRY_DELAY:.0f} s.")
            return True
    return False


def _stage_task(name: str) -> Callable[..., StageOutcome]:
    """The Prefect task of a stage. DVC alone decides what is up to date, so there is no cache."""

    def run(context: FlowContext, *inputs: StageOutcome) -> StageOutcome:
        # Results lie in outputs/. `inputs` only lets Prefect draw what depends on what.
        logger = get_run_logger()
        space = Workspace(context.root)
        fresh = "1" if context.force else "0"
        env = {"FALCON_PARENT_RUN_ID": context.parent, "FALCON_FRESH": fresh, **ENVIRONMENT}
        note_stage(space, name)
        start = time.monotonic()
        file = space.output(name) / "checks.json"
        try:
            how: dvc.How = "up to date"
            if not (context.skips(name, inputs) and code_is_recorded(space, name)):
                with StageOutput(space, name, log_line(logger)) as output:
                    how = repro_stage(
                        space, name, force=context.force, env=env, on_line=output.take
                    )
        finally:  # checks that failed are what somebody will want to see
            if file.is_file():
                publish(f"checks-{name}", report_markdown(read_json(file)))
        marker = read_marker(space, name)
        seconds = time.monotonic() - start
        logger.info("%s: %s", name, how)
        shown().finished(name, how, seconds, stage_lines(space, name))
        times = marker.get("time", {}) if how == "ran" else {}
        return StageOutcome(name, how, seconds, marker.get("run_id", ""), times)

    run.__name__ = run.__qualname__ = name  # Prefect makes the task's key of it
    stage_task = task(
        name=name,
        task_run_name=name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=1,
        retry_delay_seconds=RETRY_DELAY,
        retry_condition_fn=_worth_retrying,
    )
    return cast(Callable[..., StageOutcome], stage_task(run))


prepare, seed, rollout, train, benchmark, gate = map(_stage_task, STAGES)
