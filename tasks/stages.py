"""The six stages as Prefect tasks, for flows: each runs its DVC stage in a child process.

So device memory is freed between stages and a crash stays in the child. The file of a stage never
imports this one: its ``run`` starts without Prefect, which costs seconds to import and hangs on a
full disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from falcon.env import apply

apply()

from prefect import get_run_logger, task  # noqa: E402 - the environment comes first
from prefect.artifacts import create_markdown_artifact  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402

from falcon.errors import UserError  # noqa: E402
from tasks.support import dvc  # noqa: E402
from tasks.support.checks import report_markdown  # noqa: E402
from tasks.support.errors import StageFailed  # noqa: E402
from tasks.support.files import read_json  # noqa: E402
from tasks.support.marker import read_marker  # noqa: E402
from tasks.support.pipeline_result import StageOutcome  # noqa: E402
from tasks.support.workspace import Workspace  # noqa: E402

RETRY_DELAY = 10.0
"""Seconds before a stage that failed for reasons of its own is tried once more."""

NOISE = (
    "To track", "\tgit add", "To enable", "\tdvc config", "Generating lock", "Updating lock",
    "Use `dvc push`",
)  # fmt: skip
"""How those lines of DVC begin that do not help a user of the flow."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class FlowContext:
    """What the stages of one flow share: workspace, parent MLflow run, and whether to run even
    what is up to date."""

    root: Path
    parent: str
    force: bool


def log_line(logger: Any) -> Callable[[str], None]:
    """A function that logs a line of DVC's output, unless it is noise."""

    def log(line: str) -> None:
        if line.strip() and not line.startswith(NOISE):
            logger.info(line)

    return log


def _worth_retrying(task: Any, run: Any, state: Any) -> bool:
    """A crash or a full device may pass; bad settings, bad data and failed checks do not."""
    try:
        state.result()
    except StageFailed as fault:
        return not fault.hopeless
    except UserError:
        return False
    except Exception:  # noqa: BLE001 - anything unknown may pass
        return True
    return False


def _stage_task(function: Callable[P, R]) -> Callable[P, R]:
    """A Prefect task of the function's name. Only DVC decides what is up to date: no cache."""
    decorate = task(
        task_run_name=function.__name__,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=1,
        retry_delay_seconds=RETRY_DELAY,
        retry_condition_fn=_worth_retrying,
    )
    return cast(Callable[P, R], decorate(function))


def _run(stage: str, context: FlowContext) -> StageOutcome:
    logger = get_run_logger()
    space = Workspace(context.root)
    env = {"FALCON_PARENT_RUN_ID": context.parent, "FALCON_FRESH": "1" if context.force else "0"}
    start = time.monotonic()
    how = dvc.repro(space.root, stage, force=context.force, env=env, on_line=log_line(logger))
    marker = read_marker(space, stage)
    logger.info("%s: %s", stage, how)
    checks = read_json(space.output(stage) / "checks.json")
    create_markdown_artifact(report_markdown(checks), key=f"checks-{stage}")
    times = marker.get("time", {}) if how == "ran" else {}
    return StageOutcome(stage, how, time.monotonic() - start, marker.get("run_id", ""), times)


# Results lie in ``outputs/``. Outcomes are passed on so that Prefect draws what depends on what.


@_stage_task
def prepare(context: FlowContext) -> StageOutcome:
    """Read the problem sources, judge every reference solution, look for leaks."""
    return _run("prepare", context)


@_stage_task
def seed(context: FlowContext, *inputs: StageOutcome) -> StageOutcome:
    """Fill the long-term memory with demonstrations."""
    return _run("seed", context)


@_stage_task
def rollout(context: FlowContext, *inputs: StageOutcome) -> StageOutcome:
    """Let the untrained model write programs, and judge them."""
    return _run("rollout", context)


@_stage_task
def train(context: FlowContext, *inputs: StageOutcome) -> StageOutcome:
    """Train the adapter (MRLF)."""
    return _run("train", context)


@_stage_task
def benchmark(context: FlowContext, *inputs: StageOutcome) -> StageOutcome:
    """Score the untrained model, the trained one and the model in service."""
    return _run("benchmark", context)


@_stage_task
def gate(context: FlowContext, *inputs: StageOutcome) -> StageOutcome:
    """Decide whether the trained model may be promoted."""
    return _run("gate", context)
