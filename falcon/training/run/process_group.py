"""Team: the processes that train together, each with a share of the tasks of every step.

Every process holds the whole policy and equal memories. Tasks are dealt out; what came of them is
handed round, so that each process records and reports the same; gradients are added up by
hand, because fast weights bypass what wraps a module (DistributedDataParallel would let the
processes drift apart). The frozen weights may be split over them (:mod:`falcon.policy.shards`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")


class Team:
    """The processes of an accelerator, or this one alone."""

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        self._accelerator = accelerator
        self.size = accelerator.num_processes if accelerator else 1
        self.index = accelerator.process_index if accelerator else 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and reports."""
        return self.index == 0

    def share(self, count: int) -> list[int]:
        """Places of this process's part of ``count`` things."""
        return list(range(self.index, count, self.size))

    def each(self, value: T) -> list[T]:
        """The value of every process, in their order, on all of them."""
        if self.size == 1:
            return [value]
        from accelerate.utils import gather_object

        return list(gather_object([value]))

    def together(self, values: Sequence[T]) -> list[T]:
        """All things in their order, from each process's :meth:`share` of them."""
        parts = self.each(list(values))
        count = sum(map(len, parts))
        return [parts[place % self.size][place // self.size] for place in range(count)]

    def add_gradients(self, parameters: Iterable[torch.Tensor]) -> None:
        """Put the sum of the processes' gradients on the parameters of each.

        A parameter that none has a gradient for stays without one.
        """
        if self.size == 1 or self._accelerator is None:
            return
        own = list(parameters)
        flags = self.each([p.grad is not None for p in own])
        there = [any(each) for each in zip(*flags, strict=True)]
        wanted = [p for p, needed in zip(own, there, strict=True) if needed]
        if not wanted:
            return
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in wanted]
        flat = torch.cat([grad.detach().reshape(-1) for grad in grads])
        flat = self._accelerator.reduce(flat, "sum")
        for parameter, part in zip(wanted, flat.split([p.numel() for p in wanted]), strict=True):
            parameter.grad = part.view_as(parameter).to(parameter.dtype)

    def wait(self) -> None:
        """Until every process is here."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()
