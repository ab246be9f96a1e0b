"""A backbone that two processes split gives what the whole one gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from falcon.errors import UserError
from falcon.policy.shards import Shards
from tests.models import load_tiny
from tests.training.test_team import ROOT, free_port


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_a_split_backbone_gives_what_the_whole_one_gives(
    folders: dict[str, Path], kind: str
) -> None:
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.policy.shards_run", folders[kind]],
            cwd=ROOT,
            env={**os.environ, **shared, "RANK": rank, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    said = [process.communicate(timeout=240) for process in processes]
    assert [p.returncode for p in processes] == [0, 0], said[0][1][-2000:] + said[1][1][-2000:]
    for out, _ in said:
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
        Shards(policy)
