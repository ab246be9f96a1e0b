"""Tiny policies, causal and seq2seq, whose adapters differ visibly from the backbone."""

from __future__ import annotations

from pathlib import Path

import pytest

from falcon.policy.policy import Policy
from tests.models import load_tiny, stir, tiny_causal, tiny_seq2seq

KINDS = ("causal", "seq2seq")


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tiny")
    return {
        "causal": tiny_causal(root / "causal"),
        "chat": tiny_causal(root / "chat", chat=True),
        "seq2seq": tiny_seq2seq(root / "seq2seq"),
    }


@pytest.fixture(params=KINDS)
def policy(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Policy:
    made = load_tiny(folders[request.param])
    stir(made)
    return made


@pytest.fixture
def causal(folders: dict[str, Path]) -> Policy:
    made = load_tiny(folders["causal"])
    stir(made)
    return made


@pytest.fixture
def chat(folders: dict[str, Path]) -> Policy:
    made = load_tiny(folders["chat"])
    stir(made)
    return made
