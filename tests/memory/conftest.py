"""Experiences made to order, shared by the tests of memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from made_experience import make_experience

from falcon.memory import Experience, HashEncoder, LongTermMemory

Make = Callable[..., Experience]


@pytest.fixture
def make() -> Make:
    return make_experience


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "memory"


@pytest.fixture
def encoder() -> HashEncoder:
    return HashEncoder()


@pytest.fixture
def filled(folder: Path, encoder: HashEncoder, make: Make) -> Path:
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        memory.append([make(i) for i in range(12)])
    return folder
