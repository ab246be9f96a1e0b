"""The tiny models of training's tests."""

from __future__ import annotations

from tests.training.conftest import causal, chat, tiny

__all__ = ["causal", "chat", "tiny"]
