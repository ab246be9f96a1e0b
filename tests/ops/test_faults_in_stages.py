"""Kills at the boundaries of stages and inside them: the same command goes on, nothing is lost."""

from __future__ import annotations

import pytest

from tasks.support.workspace import STAGES
from tests.ops.clone import Clone, Moment

MUST = "the same command does what is left; results of an undisturbed run; no run stays RUNNING"


def inside(stage: str) -> list[object]:
    """A kill before the first output of a stage, and one after its outputs before its marker."""
    moments = {
        "begun, before its first output": Moment(
            f"tasks {stage}", event="os.rename", text=f"outputs/{stage}/"
        ),
        "after its outputs, before its marker": Moment(
            f"tasks {stage}", event="os.rename", text=f"state/runs/{stage}.json"
        ),
        "ended, before dvc.lock names it": Moment(
            f"dvc repro --single-item {stage}", call="dvc.dvcfile:Lockfile.dump"
        ),
    }
    return [
        pytest.param(
            stage, moment, marks=pytest.mark.row(stage, when, "kill -9", MUST), id=f"{stage}-{n}"
        )
        for n, (when, moment) in enumerate(moments.items())
    ]


@pytest.mark.parametrize(("stage", "moment"), [each for stage in STAGES for each in inside(stage)])
def test_a_stage_that_is_killed_is_made_by_the_same_command(
    clone: Clone, stage: str, moment: Moment
) -> None:
    before = clone.facts()
    clone.forget(stage)
    clone.killed("stage", stage, at=moment)
    clone.falcon("stage", stage).ok()
    clone.whole(before)
