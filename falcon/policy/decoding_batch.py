"""Decoding: rows of one batch that are fed a token at a time, and their logits.

:class:`~falcon.policy.decoding.Rows` is for models in which every layer attends to all earlier
tokens: rows come and go at any time. :class:`~falcon.policy.fixed_rows.FixedRows` is for all others
(encoder-decoder models, sliding windows): a batch is begun together, and rows only leave. A row is
known by its slot, a number from 0.

Shapes: R slots, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from falcon.policy.pairs import RowTasks, is_stacked, stack_size

if TYPE_CHECKING:
    from falcon.policy.pairs import Pairs
    from falcon.policy.policy import Policy


@dataclass(frozen=True)
class Prompt:
    """A prompt to read: token ids, the rows to make of it, and the task whose weights write."""

    ids: Sequence[int]
    rows: int
    task: int = 0


@dataclass(frozen=True)
class Room:
    """What a batch may hold: prompts and rows at a time, tokens of a prompt."""

    prompts: int
    rows: int
    prompt_tokens: int


class DecodingBatch(ABC):
    """Rows that are being decoded under ``pairs`` (stacked: each row by its task's)."""

    def __init__(self, policy: Policy, pairs: Pairs | None) -> None:
        self.policy = policy
        self.pairs = pairs
        self.stacked = pairs is not None and is_stacked(pairs)

    @property
    @abstractmethod
    def slots(self) -> int:
        """Slots in use or left empty by rows that ended: R."""

    @property
    @abstractmethod
    def refills(self) -> bool:
        """Whether rows may be added while others are being decoded, and :meth:`more` of the last
        prompt."""

    @abstractmethod
    def add(self, prompts: Sequence[Prompt], later: int = 0) -> tuple[list[int], torch.Tensor]:
        """Read prompts. The slots of the new rows, in order, and their next logits [new, V].

        ``later``: rows of the last prompt that :meth:`more` will add.
        """

    @abstractmethod
    def more(self, rows: int) -> tuple[list[int], torch.Tensor]:
        """Add rows of the prompt that was read last, without reading it again; as :meth:`add`."""

    @abstractmethod
    def end(self, slot: int) -> None:
        """The row in this slot has ended. The slot stays, until it is filled or squeezed out."""

    @abstractmethod
    def squeeze(self) -> dict[int, int]:
        """Give up empty slots, where that saves work. Old slot -> new slot of rows that moved."""

    @abstractmethod
    def advance(self, tokens: torch.Tensor) -> torch.Tensor:
        """Feed one token a slot, [R], and compute the next logits [R, V]. Those of empty slots
        mean nothing."""

    @abstractmethod
    def lengthen(self, tokens: int) -> None:
        """Let every row count as if it had this many tokens: to see what memory that takes."""

    def tasks(self, tasks: Sequence[int]) -> RowTasks | None:
        """The tasks of rows, as the layers want them; None where the weights are not stacked."""
        if not self.stacked or self.pairs is None:
            return None
        rows = torch.tensor(list(tasks), device=self.policy.device)
        return RowTasks(rows, stack_size(self.pairs))
