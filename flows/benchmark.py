"""Benchmark: score the present policies again and decide again, without training."""

from __future__ import annotations

import os
from typing import Any

from falcon.env import apply

apply()

from prefect import flow, get_run_logger  # noqa: E402 - the environment comes first

from flows import quiet  # noqa: E402
from flows.training import record, run_stage  # noqa: E402
from tasks.support.registry import Registry  # noqa: E402
from tasks.support.stage import closing, provenance  # noqa: E402
from tasks.support.tracking import Tracker  # noqa: E402
from tasks.support.workspace import Workspace  # noqa: E402


@flow(name="falcon-benchmark")  # type: ignore[untyped-decorator]
def benchmark(force: bool = False) -> dict[str, Any]:
    """Run the stages benchmark and gate against the model in service; promotes nothing."""
    quiet.install()
    space = Workspace.here()
    os.chdir(space.root)
    settings = space.stage_settings()
    tracker = Tracker(settings, space)
    tracker.spool.replay()
    parent = tracker.create_run(
        "benchmark", {"stage": "pipeline", **provenance(space.root, settings)}
    )
    told: dict[str, Any] = {}
    with closing(parent):
        Registry(tracker, settings).carry_champion()
        for stage in ("benchmark", "gate"):
            told[stage] = run_stage(stage, str(space.root), parent.id, force)
            record(space, parent, stage, told[stage])
            get_run_logger().info("%s: %s", stage, told[stage]["how"])
    return told
