"""Process group: the processes that train together, each with a share of the tasks of every step.

Every process holds all adapters and equal memories. Tasks are dealt out and their attempts are
gathered, so each process records and reports the same. Gradients are summed by hand: fast weights
bypass the hooks of DistributedDataParallel, which would let the processes drift apart. The frozen
weights may be split over the processes (:mod:`falcon.policy.shards`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from accelerate import Accelerator  # slow to import

T = TypeVar("T")


class ProcessGroup:
    """The processes of an accelerator, or this one alone."""

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        self._accelerator = accelerator
        self.size = accelerator.num_processes if accelerator else 1
        self.rank = accelerator.process_index if accelerator else 0

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and reports."""
        return self.rank == 0

    def share(self, count: int) -> list[int]:
        """Places of this process's part of ``count`` things."""
        return list(range(self.rank, count, self.size))

    def gather(self, value: T) -> list[T]:
        """The value of every process, by rank, on all of them."""
        if self.size == 1:
            return [value]
        from accelerate.utils import gather_object

        return list(gather_object([value]))

    def gather_shares(self, values: Sequence[T]) -> list[T]:
        """All things in their order, from each process's :meth:`share` of them."""
        parts = self.gather(list(values))
        count = sum(map(len, parts))
        # `share` deals round robin: thing n is the (n // size)th of process n % size.
        return [parts[place % self.size][place // self.size] for place in range(count)]

    def sum_gradients(self, parameters: Iterable[torch.Tensor]) -> None:
        """Put the sum of the processes' gradients on the parameters of each.

        A parameter for which no process has a gradient stays without one.
        """
        if self.size == 1 or self._accelerator is None:
            return
        own = list(parameters)
        # All processes must reduce the same tensors, but one whose tasks had no samples has no
        # gradients: agree first on the parameters, then fill up with zeros.
        flags = self.gather([p.grad is not None for p in own])
        anywhere = [any(each) for each in zip(*flags, strict=True)]
        reduced = [p for p, has_gradient in zip(own, anywhere, strict=True) if has_gradient]
        if not reduced:
            return
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in reduced]
        flat = torch.cat([grad.detach().reshape(-1) for grad in grads])  # one call for all
        flat = self._accelerator.reduce(flat, "sum")
        for parameter, part in zip(reduced, flat.split([p.numel() for p in reduced]), strict=True):
            parameter.grad = part.view_as(parameter).to(parameter.dtype)

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()
