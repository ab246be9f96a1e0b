"""The tiny policies of the policy's own tests."""

from __future__ import annotations

from tests.policy.conftest import causal, chat, folders, policy

__all__ = ["causal", "chat", "folders", "policy"]
