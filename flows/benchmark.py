"""Benchmark: score the present policies again and decide again, without training."""

from falcon.env import apply

apply()

from prefect import flow, get_run_logger  # noqa: E402 - the environment comes first

from flows.body import flow_body  # noqa: E402
from tasks import stages  # noqa: E402
from tasks.support.params import freeze_settings  # noqa: E402
from tasks.support.registry import Registry  # noqa: E402
from tasks.support.run_lifecycle import pipeline_run  # noqa: E402
from tasks.support.run_report import StageOutcome  # noqa: E402
from tasks.support.workspace import Workspace  # noqa: E402


@flow(name="falcon-benchmark", flow_run_name="benchmark")  # type: ignore[untyped-decorator]
@flow_body(alone=True)
def benchmark(force: bool = False) -> tuple[StageOutcome, StageOutcome]:
    """Run the stages benchmark and gate against the model in service; promotes nothing."""
    space = Workspace.here()
    settings = freeze_settings(space)
    with pipeline_run(space, "benchmark", settings) as parent:
        Registry(parent.tracker, settings).fetch_champion()
        context = stages.FlowContext(space.root, parent.id, force)
        scores = stages.benchmark(context).record(parent)
        decision = stages.gate(context, scores).record(parent)
    for outcome in (scores, decision):
        get_run_logger().info("%s: %s", outcome.stage, outcome.how)
    return scores, decision
