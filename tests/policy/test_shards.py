"""A backbone that two processes split gives what the whole one gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from falcon.errors import UserError
from falcon.policy.shards import Shards
from tests.models import load_tiny
from tests.processes import run_two


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_a_split_backbone_gives_what_the_whole_one_gives(
    folders: dict[str, Path], kind: str
) -> None:
    said = run_two("tests.policy.shards_run", folders[kind])
    for out in said:
        before, first, again, whole, split, after, passes = json.loads(out.splitlines()[-1])
        for found in (first, again):
            assert found["programs"] == before["programs"]
            assert found["log_probs"] == pytest.approx(before["log_probs"], abs=1e-6)
            assert found["gradient"] == pytest.approx(before["gradient"], rel=1e-5)
        # Half of the blocks, and the whole of embeddings and head; the same after the work.
        assert split == after < whole
        assert passes == 4


def test_a_model_without_known_blocks_is_named(folders: dict[str, Path]) -> None:
    policy = load_tiny(folders["causal"])
    policy.model._no_split_modules = None
    with pytest.raises(UserError, match="cannot be split"):
        Shards(policy.backbone)
