"""Training: the whole pipeline as one flow.

Data version, six stages, the trained model registered as challenger, and promoted when the gate
passed. One MLflow run is the parent of all. DVC decides what to run; Prefect when, and retries.
"""

import time

from falcon.env import apply

apply()

from prefect import flow, get_run_logger  # noqa: E402 - the environment comes first

from falcon.config import Override, Settings, leaves, profile_of, profile_values  # noqa: E402
from flows import approval  # noqa: E402
from flows.body import flow_body  # noqa: E402
from flows.notify import failed, notify_result  # noqa: E402
from flows.parameters import Profile, Start  # noqa: E402
from tasks import stages  # noqa: E402
from tasks.flow_page import describe, link_mlflow, places, publish  # noqa: E402
from tasks.support import dvc, next_run, settled  # noqa: E402
from tasks.support.errors import (  # noqa: E402
    ApprovalNeeded,
    PromotionRefused,
    RegistryUnavailable,
    StageFailed,
)
from tasks.support.handover import publish_memory, start_name  # noqa: E402
from tasks.support.params import freeze_settings, write_settings  # noqa: E402
from tasks.support.preflight import require_ready  # noqa: E402
from tasks.support.provenance import read_gate  # noqa: E402
from tasks.support.registry import Registry  # noqa: E402
from tasks.support.run_console import shown  # noqa: E402
from tasks.support.run_lifecycle import log_data, pipeline_run  # noqa: E402
from tasks.support.run_page import write_run_page  # noqa: E402
from tasks.support.run_report import PipelineResult, StageOutcome  # noqa: E402
from tasks.support.tracking import TrackedRun, Tracker  # noqa: E402
from tasks.support.workspace import Workspace  # noqa: E402


@flow(name="falcon-train", flow_run_name="train", on_failure=[failed], on_crashed=[failed])  # type: ignore[untyped-decorator]
@flow_body(alone=True)
def train(
    profile: Profile = "", force: bool = False, carry_on: bool = False, start: Start = ""
) -> PipelineResult:
    """The pipeline, from the data to a decision.

    ``force`` runs every stage again. ``carry_on`` (set by schedules) begins a new run: a seed of
    its own, and the weights and the memory of the model in service; one that was cut off goes on.
    ``start``: "champion" or "base", in place of ``train.start``. ``profile`` is written into
    params.yaml; with ``carry_on`` it is of this run alone.
    """
    space = Workspace.here()
    logger = get_run_logger()
    require_ready(space, space.settings(), anew=carry_on)
    settings = _begin(space, profile, start, carry_on=carry_on)
    stale = dvc.stale(space.root)
    version = dvc.ensure_data(space.root, stale, stages.log_line(logger))
    name = profile_of(settings, space.root)
    logger.info("data version %s, profile %s", version, name)
    describe(
        f"train {name} seed {settings.seed} · from {start_name(space, settings)}", {"profile": name}
    )
    since = time.monotonic()
    try:
        with pipeline_run(space, "pipeline", settings) as parent:
            values = settings.model_dump(mode="json", exclude={"tracking"})
            parent.params({**leaves(values), "force": force})
            log_data(parent, space.root, "training")
            link_mlflow(parent)
            # Not those after `_fetch_champion`: what it puts in place is an input of theirs.
            up_to_date = {"prepare", "seed", "rollout", "train"} - stale
            context = stages.FlowContext(space.root, parent.id, force, up_to_date)
            outcomes = _run_stages(context, parent, settings)
            with shown().doing("registry"):
                result = _publish(outcomes, parent, settings, since)
            parent.metrics({"time/pipeline": result.seconds})
    except StageFailed as fault:
        if fault.hopeless:  # to go on with it would fail in the same way for ever
            next_run.ended(space)
        raise
    next_run.ended(space)
    settled.remember(Registry(parent.tracker, settings), result)
    publish("falcon-result", result.summary() + places(space))
    notify_result(result)
    return result


def _begin(space: Workspace, profile: str, start: str, *, carry_on: bool) -> Settings:
    """The settings that the stages of this run read; with ``carry_on`` also all it starts from."""
    if carry_on:
        settings = space.settings()
        values = profile_values(space.root, profile) if profile else {}
        registry = Registry(Tracker(settings, space), settings)
        get_run_logger().info(next_run.carry_on(registry, settings, start=start, values=values))
    else:
        write_settings(space, profile, [Override("train.start", start, "start")] if start else [])
    return freeze_settings(space)


def _run_stages(
    context: stages.FlowContext, parent: TrackedRun, settings: Settings
) -> tuple[StageOutcome, ...]:
    problems = stages.prepare(context).record(parent)
    memory = stages.seed(context, problems).record(parent)
    rollouts = stages.rollout(context, problems, memory).record(parent)
    policy = stages.train(context, problems, rollouts).record(parent)
    _fetch_champion(Registry(parent.tracker, settings))
    scores = stages.benchmark(context, problems, policy).record(parent)
    outcomes = (problems, memory, rollouts, policy, scores)
    return (*outcomes, stages.gate(context, *outcomes).record(parent))


def _fetch_champion(registry: Registry) -> None:
    """Fetch the model to compare with; during an outage, the one fetched last is used.

    That promotes no wrong model: promotion refuses a comparison with any but the one in service.
    """
    try:
        champion = registry.fetch_champion()
    except RegistryUnavailable as fault:
        get_run_logger().warning("%s Comparing with the model fetched last.", fault.message)
        return
    if champion is not None:
        get_run_logger().info("comparing with version %s, in service", champion.number)


def _publish(
    outcomes: tuple[StageOutcome, ...], parent: TrackedRun, settings: Settings, start: float
) -> PipelineResult:
    """Register the policy with its memory, and promote it when the gate passed."""
    space = parent.tracker.space
    decision = read_gate(space)
    if settings.memory.start == "last":
        publish_memory(space)
    parent.tags({"gate": decision["decision"]})
    parent.artifact(space.root / "dvc.lock")
    parent.artifact(space.output("gate") / "gate.json", "gate")
    registry = Registry(parent.tracker, settings)
    version = registry.register()
    promoted, why_not = False, ""
    if decision["decision"] == "passed":
        try:
            registry.promote(automatic=True)
            promoted = True
        except ApprovalNeeded:
            why_not = approval.ask(version.number)
        except PromotionRefused as fault:
            why_not = fault.message
            get_run_logger().info("not promoted: %s", why_not)
    parent.tags({"model.version": version.number, "promoted": promoted})
    seconds = time.monotonic() - start
    result = PipelineResult(outcomes, decision, version.number, promoted, why_not, seconds)
    parent.artifact(write_run_page(space, settings, result))
    return result
