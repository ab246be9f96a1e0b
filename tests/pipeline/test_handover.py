"""What the seed stage takes over from the last published run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from falcon.config import Settings
from falcon.memory import HashEncoder, LongTermMemory
from tasks.support.handover import start_memory
from tasks.support.workspace import Workspace
from tests.memory.made_experience import make_experience as make


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with LongTermMemory.open(tmp_path / "handover/memory", HashEncoder(), writable=True) as memory:
        memory.append([make(i, problem=f"builtin/{'abc'[i % 3]}") for i in range(12)])
    return tmp_path


def taken_over(root: Path, **memory: Any) -> list[str]:
    settings = Settings.model_validate({"memory": {"encoder": "hash", **memory}})
    start_memory(Workspace(root), settings, root / "new", {"builtin/b"})
    if not (root / "new").exists():
        return []
    with LongTermMemory.open(root / "new", HashEncoder()) as begun:
        return [e.problem_id for e in begun]


def test_nothing_of_problems_held_out_now_is_carried_over(root: Path) -> None:
    assert taken_over(root) == ["builtin/a", "builtin/c"] * 4


def test_at_most_keep_are_carried_over_and_every_problem_has_its_turn(root: Path) -> None:
    assert sorted(taken_over(root, keep=4)) == ["builtin/a"] * 2 + ["builtin/c"] * 2


def test_a_memory_can_begin_empty(root: Path) -> None:
    assert taken_over(root, start="empty") == []
