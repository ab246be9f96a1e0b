"""Training: the whole pipeline as one flow.

Data version, the six stages (each the DVC stage in a child process), the trained model
registered as challenger, and promoted when the gate passed. One MLflow run is the parent of
all. DVC decides what is up to date; Prefect decides when and retries; nothing is decided twice.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from falcon.env import apply

apply()

from prefect import flow, get_run_logger, task  # noqa: E402 - the environment comes first
from prefect.artifacts import create_markdown_artifact  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402

from falcon.config import Settings  # noqa: E402
from falcon.errors import UserError  # noqa: E402
from flows import handover, quiet  # noqa: E402
from tasks.gate import read_gate  # noqa: E402
from tasks.support import dvc  # noqa: E402
from tasks.support.checks import report_markdown  # noqa: E402
from tasks.support.params import write_settings  # noqa: E402
from tasks.support.registry import Away, Refused, Registry  # noqa: E402
from tasks.support.stage import bury_dead, closing, log_data, provenance, read_marker  # noqa: E402
from tasks.support.tracking import TrackedRun, Tracker, flatten  # noqa: E402
from tasks.support.workspace import STAGES, Workspace, read_json  # noqa: E402

RETRY_DELAY = 10.0
"""Seconds before a stage that failed for reasons of its own is tried once more."""


def _worth_retrying(task: Any, run: Any, state: Any) -> bool:
    """A crash or a full device may pass; bad settings, bad data and failed checks do not."""
    try:
        state.result()
    except dvc.StageFailed as fault:
        return not fault.hopeless
    except UserError:
        return False
    except Exception:  # noqa: BLE001 - anything unknown may pass
        return True
    return False


@task(  # type: ignore[untyped-decorator]
    task_run_name="{stage}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=1,
    retry_delay_seconds=RETRY_DELAY,
    retry_condition_fn=_worth_retrying,
)
def run_stage(stage: str, root: str, parent: str, force: bool) -> dict[str, Any]:
    """Run one DVC stage; say whether it ran, how long it took and which run made the results."""
    logger = get_run_logger()
    space = Workspace(Path(root))
    env = {"FALCON_PARENT_RUN_ID": parent, "FALCON_FRESH": "1" if force else "0"}
    start = time.monotonic()
    done = dvc.repro(space.root, stage, force=force, env=env, on_line=_say(logger))
    marker = read_marker(space, stage)
    logger.info("%s: %s", stage, done.how)
    checks = read_json(space.output(stage) / "checks.json")
    create_markdown_artifact(report_markdown(checks), key=f"checks-{stage}")
    return {
        "how": done.how,
        "seconds": time.monotonic() - start,
        "run_id": marker.get("run_id", ""),
        "time": marker.get("time", {}) if done.how == "ran" else {},
    }


CHATTER = ("To track", "\tgit add", "To enable", "\tdvc config", "Generating lock", "Updating lock")
"""How lines of DVC's begin that tell a user of the flow nothing."""


def _say(logger: Any) -> Any:
    def say(line: str) -> None:
        if line.strip() and not line.startswith((*CHATTER, "Use `dvc push`")):
            logger.info(line)

    return say


@flow(name="falcon-train", log_prints=False)  # type: ignore[untyped-decorator]
def train(profile: str = "", force: bool = False, carry_on: bool = False) -> dict[str, Any]:
    """The pipeline, from the data to a decision.

    ``profile`` is written into params.yaml when given. ``force`` runs every stage again.
    ``carry_on`` starts from the memory of the last run even when nothing else has changed
    (schedules set it). Returns stages, decision, version and seconds.
    """
    quiet.install()
    space = Workspace.here()
    os.chdir(space.root)
    write_settings(space, profile)
    settings = space.stage_settings()
    logger = get_run_logger()
    version = dvc.ensure_data(space.root, _say(logger))
    logger.info("data version %s, profile %s", version, settings.profile)
    tracker = Tracker(settings, space)
    tracker.spool.replay()
    bury_dead(tracker)
    start = time.monotonic()
    parent = tracker.create_run(
        "pipeline", {"stage": "pipeline", **provenance(space.root, settings)}
    )
    with closing(parent):
        parent.params({**flatten(settings.model_dump(mode="json")), "force": force})
        log_data(parent, space.root, "training")
        if settings.memory.carry_over and handover.adopt(space, anew=force or carry_on):
            logger.info("seeding starts from the memory of the last run")
        result = _stages(space, settings, parent, force)
        result |= _publish(space, settings, tracker, parent)
        result |= {"parent": parent.id, "seconds": time.monotonic() - start, "data": version}
        parent.metrics({"time/pipeline": result["seconds"]})
    create_markdown_artifact(summary(result), key="falcon-result")
    return result


def _stages(
    space: Workspace, settings: Settings, parent: TrackedRun, force: bool
) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for stage in STAGES:
        if stage == "benchmark":
            _carry_champion(Registry(parent.tracker, settings))
        told[stage] = run_stage(stage, str(space.root), parent.id, force)
        record(space, parent, stage, told[stage])
    return {"stages": told}


def _carry_champion(registry: Registry) -> None:
    """Fetch the model to compare with; during an outage the one fetched last stands in.

    Whether that was right is decided where it matters: no model is promoted that was
    compared with another than the one in service.
    """
    try:
        champion = registry.carry_champion()
    except Away as fault:
        get_run_logger().warning("%s Comparing with the model fetched last.", fault.message)
        return
    if champion is not None:
        get_run_logger().info("comparing with version %s, in service", champion.number)


def record(space: Workspace, parent: TrackedRun, stage: str, told: dict[str, Any]) -> None:
    """A stage's metrics on the parent, with whether it ran and the run that made its results."""
    metrics = read_json(space.output(stage) / "metrics.json")
    numbers = {f"{stage}/{k}": v for k, v in metrics.items() if isinstance(v, (int, float))}
    parent.metrics({**numbers, f"time/{stage}": told["seconds"]})
    parent.tags({f"stage.{stage}": told["how"], f"run.{stage}": told["run_id"]})


def _publish(
    space: Workspace, settings: Settings, tracker: Tracker, parent: TrackedRun
) -> dict[str, Any]:
    logger = get_run_logger()
    decision = read_gate(space)
    if settings.memory.carry_over:
        handover.publish(space)
    parent.tags({"gate": decision["decision"]})
    parent.artifact(space.root / "dvc.lock")
    parent.artifact(space.output("gate") / "gate.json", "gate")
    registry = Registry(tracker, settings)
    version = registry.register()
    promoted, why = False, ""
    if decision["decision"] == "passed":
        try:
            registry.promote()
            promoted = True
        except Refused as fault:
            why = fault.message
            logger.warning("not promoted: %s", why)
    parent.tags({"model.version": version.number, "promoted": promoted})
    return {
        "decision": decision["decision"],
        "opponent": decision["opponent"],
        "reasons": decision["reasons"],
        "version": version.number,
        "promoted": promoted,
        "not_promoted": why,
    }


def summary(result: dict[str, Any]) -> str:
    """The result for the Prefect page."""
    rows = [f"| {n} | {t['how']} | {t['seconds']:.0f} s |" for n, t in result["stages"].items()]
    reasons = [
        f"- {'ok' if r['passed'] else '**no**'}: {r['name']}: {r['said']}"
        for r in result["reasons"]
    ]
    head = f"## Gate: {result['decision']}, version {result['version']}"
    state = "promoted" if result["promoted"] else "not promoted"
    table = "| stage |  | time |\n|---|---|---|\n" + "\n".join(rows)
    return f"{head} ({state})\n\n{table}\n\n" + "\n".join(reasons)
