"""Training: the whole pipeline as one flow.

Data version, six stages, the trained model registered as challenger, and promoted when the gate
passed. One MLflow run is the parent of all. DVC decides what to run; Prefect when, and retries.
"""

import time

from falcon.env import apply

apply()

from prefect import flow, get_run_logger  # noqa: E402 - the environment comes first

from falcon.config import Settings, profile_of  # noqa: E402
from flows.body import flow_body  # noqa: E402
from tasks import stages  # noqa: E402
from tasks.flow_page import publish  # noqa: E402
from tasks.support import dvc  # noqa: E402
from tasks.support.errors import PromotionRefused, RegistryUnavailable  # noqa: E402
from tasks.support.handover import hand_over_memory, publish_memory  # noqa: E402
from tasks.support.params import freeze_settings, write_settings  # noqa: E402
from tasks.support.provenance import read_gate  # noqa: E402
from tasks.support.registry import Registry  # noqa: E402
from tasks.support.run_lifecycle import log_data, pipeline_run  # noqa: E402
from tasks.support.run_report import PipelineResult, StageOutcome  # noqa: E402
from tasks.support.tracking import TrackedRun, flatten  # noqa: E402
from tasks.support.workspace import Workspace  # noqa: E402


@flow(name="falcon-train", log_prints=False)  # type: ignore[untyped-decorator]
@flow_body(alone=True)
def train(profile: str = "", force: bool = False, carry_on: bool = False) -> PipelineResult:
    """The pipeline, from the data to a decision.

    ``profile`` is written into params.yaml when given. ``force`` runs every stage again.
    ``carry_on`` (set by schedules) starts from the last run's memory even if nothing has changed.
    """
    space = Workspace.here()
    write_settings(space, profile)
    settings = freeze_settings(space)
    logger = get_run_logger()
    version = dvc.ensure_data(space.root, stages.log_line(logger))
    logger.info("data version %s, profile %s", version, profile_of(settings, space.root))
    start = time.monotonic()
    with pipeline_run(space, "pipeline", settings) as parent:
        parent.params({**flatten(settings.model_dump(mode="json")), "force": force})
        log_data(parent, space.root, "training")
        if settings.memory.carry_over and hand_over_memory(space, anew=force or carry_on):
            logger.info("seeding starts from the memory of the last run")
        outcomes = _run_stages(stages.FlowContext(space.root, parent.id, force), parent, settings)
        result = _publish(outcomes, parent, settings, start)
        parent.metrics({"time/pipeline": result.seconds})
    publish("falcon-result", result.summary())
    return result


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
    """Publish the memory, register the policy, and promote it when the gate passed."""
    space = parent.tracker.space
    decision = read_gate(space)
    if settings.memory.carry_over:
        publish_memory(space)
    parent.tags({"gate": decision["decision"]})
    parent.artifact(space.root / "dvc.lock")
    parent.artifact(space.output("gate") / "gate.json", "gate")
    registry = Registry(parent.tracker, settings)
    version = registry.register()
    promoted, why_not = False, ""
    if decision["decision"] == "passed":
        try:
            registry.promote()
            promoted = True
        except PromotionRefused as fault:
            why_not = fault.message
            get_run_logger().warning("not promoted: %s", why_not)
    parent.tags({"model.version": version.number, "promoted": promoted})
    seconds = time.monotonic() - start
    return PipelineResult(outcomes, decision, version.number, promoted, why_not, seconds)
