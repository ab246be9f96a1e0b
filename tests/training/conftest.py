"""Tiny models for training, made once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from falcon.policy.policy import Policy
from tests.models import load_tiny, stir, tiny_causal, tiny_seq2seq


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tiny")
    return {
        "causal": tiny_causal(root / "causal"),
        "chat": tiny_causal(root / "chat", chat=True),
        "seq2seq": tiny_seq2seq(root / "seq2seq", spread=0.1),
        # Differences of a gradient need one without jumps.
        "smooth": tiny_seq2seq(root / "smooth", spread=0.1, activation="gated-gelu"),
    }


@pytest.fixture(params=("causal", "seq2seq"))
def policy(request: pytest.FixtureRequest, tiny: dict[str, Path]) -> Policy:
    made = load_tiny(tiny[request.param])
    stir(made)
    return made


@pytest.fixture
def causal(tiny: dict[str, Path]) -> Policy:
    made = load_tiny(tiny["causal"])
    stir(made)
    return made


@pytest.fixture
def chat(tiny: dict[str, Path]) -> Policy:
    return load_tiny(tiny["chat"])
