"""Critic: the interface of anything that answers a question in text.

The caller interprets the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from falcon.errors import CriticFault

Question = tuple[str, str]
"""System message (may be empty) and user message."""


@dataclass
class Usage:
    """Counts of questions, tokens and cost so far, the latter in the currency of the settings."""

    asked: int = 0
    reused: int = 0
    faults: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    def metrics(self) -> dict[str, float]:
        """The counts as metrics, ``critic/...``."""
        return {f"critic/{name}": float(value) for name, value in vars(self).items()}


class Critic(Protocol):
    """Anything that answers questions. Name and version are recorded with every score."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def usage(self) -> Usage: ...

    def ask(self, questions: Sequence[Question]) -> list[str | CriticFault]:
        """For each question, in order, the answer or a CriticFault in its place (not raised)."""
        ...
