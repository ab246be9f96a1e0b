"""A training whose processes a launcher starts is like any other to DVC and the flow."""

from __future__ import annotations

import json
import sys

import pytest

from tests.ops.clone import Clone
from tests.processes import free_port


@pytest.mark.nightly
def test_a_launched_training_is_accepted_and_not_made_again(clone: Clone) -> None:
    clone.forget("train")
    words = f"{sys.executable} -m torch.distributed.run --nproc_per_node 2"
    launcher = f"machine.launcher={words} --master_addr 127.0.0.1 --master_port {free_port()}"
    assert clone.falcon("stage", "train", "--set", launcher).ok().how("train") == "ran"
    metrics = json.loads((clone.space.output("train") / "metrics.json").read_text())
    assert metrics["processes"] == 2
    assert clone.falcon("stage", "train").ok().how("train") == "unchanged"
