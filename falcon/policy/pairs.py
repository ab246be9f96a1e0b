"""Low-rank pairs: A [r, in], B [out, r] of a linear layer, alone or stacked by task, and their
product with rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

Pair = tuple[torch.Tensor, torch.Tensor]
Pairs = dict[str, Pair]
"""Layer name -> (A, B), with or without the leading task dimension."""


def is_stacked(pairs: Pairs) -> bool:
    """Whether pairs have the leading task dimension: fast weights, A [N, r, in]."""
    return next(iter(pairs.values()))[0].dim() == 3


def stack_size(pairs: Pairs) -> int:
    """The tasks N of a stack."""
    return len(next(iter(pairs.values()))[0])


def cast(pairs: Pairs, dtype: torch.dtype) -> Pairs:
    """Detached copies in another precision: cast once before many forward passes."""
    return {n: (a.detach().to(dtype), b.detach().to(dtype)) for n, (a, b) in pairs.items()}


def of_tasks(pairs: Pairs, tasks: list[int]) -> Pairs:
    """The part of a stack with these tasks, in their order; the stack itself where that is all."""
    if tasks == list(range(stack_size(pairs))):
        return pairs
    return {name: (a[tasks], b[tasks]) for name, (a, b) in pairs.items()}


def turned(b: torch.Tensor) -> torch.Tensor:
    """The same B [N, out, r] with its outputs side by side in memory: for a few rows a task the
    product with it takes half the time."""
    return b.transpose(1, 2).contiguous().transpose(1, 2)


def with_low_rank(
    y: torch.Tensor,
    x: torch.Tensor,
    pair: Pair,
    scale: float,
    rows: RowTasks | None,
    sizes: Sequence[int] = (),
) -> torch.Tensor:
    """y + scale * x A^T B^T, with one pair or each row's own; y is read and written once.

    ``sizes``: of stacks, the outputs of siblings whose pairs are joined: A [N, n r, in] and B
    [N, r, sum of out].
    """
    a, b = pair if pair[0].dtype == x.dtype else (t.to(x.dtype) for t in pair)
    if a.dim() == 2:  # one pair for all rows
        low = nn.functional.linear(x, a).flatten(0, -2)  # [R * L, r]
        return torch.addmm(y.flatten(0, -2), low, b.t(), alpha=scale).view_as(y)
    if rows is None:
        raise ValueError("fast weights are in use but no row says which task it belongs to")
    if rows.task.numel() != len(x):
        raise ValueError(f"{rows.task.numel()} row tasks for {len(x)} rows")
    parts = torch.split(b, list(sizes), -1) if sizes else (b.transpose(1, 2),)  # [N, r, out] each
    if x.shape[1] == 1 and len(x) >= len(a):  # decoding: a token a row
        return torch.add(y, rows.by_task(x, a, parts), alpha=scale)
    if not rows.in_order:
        a, b = a[rows.task], b[rows.task]  # [R, r, in], [R, out, r]
    if sizes:
        low, parts = torch.bmm(x, a.transpose(1, 2)), torch.split(b, list(sizes), -1)
        return torch.add(y, _outputs(low, parts), alpha=scale)
    return torch.baddbmm(y, torch.bmm(x, a.transpose(1, 2)), b.transpose(1, 2), alpha=scale)


def _outputs(low: torch.Tensor, parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Each part of low [*, m, n r] by its own [*, r, out], side by side: [*, m, sum of out]."""
    if len(parts) == 1:
        return torch.bmm(low, parts[0])
    columns = torch.split(low, parts[0].shape[1], -1)
    return torch.cat([torch.bmm(c, part) for c, part in zip(columns, parts, strict=True)], -1)


class RowTasks:
    """Which task each row belongs to, and its slot when rows are laid out as [N, most].

    ``in_order``: row i belongs to task i, and there are no others. ``most``: rows of the task
    that has most; tasks with fewer leave slots empty.
    """

    def __init__(self, task: torch.Tensor, tasks: int) -> None:
        self.task = task
        self.in_order = len(task) == tasks and task.tolist() == list(range(tasks))
        counts = torch.bincount(task, minlength=tasks)
        self.most = int(counts.max())
        order = torch.argsort(task, stable=True)  # rows by task
        first = (counts.cumsum(0) - counts)[task[order]]  # where the row's task begins in `order`
        within = torch.arange(len(task), device=task.device) - first  # number within its task
        self.slot = torch.empty_like(task)  # [R]
        self.slot[order] = task[order] * self.most + within
        # The row in each slot; an empty one repeats row 0, and nobody reads what comes of it.
        self.row = torch.zeros(tasks * self.most, dtype=torch.long, device=task.device)
        self.row[self.slot] = torch.arange(len(task), device=task.device)
        self.laid_out = self.slot.tolist() == list(range(tasks * self.most))

    def by_task(
        self, x: torch.Tensor, a: torch.Tensor, parts: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """The low-rank product of one token a row, [R, 1, in] -> [R, 1, out], task by task.

        Copying a pair for each row would read more memory than the backbone itself.
        """
        slots = x[:, 0] if self.laid_out else x[:, 0].index_select(0, self.row)  # [N * most, in]
        low = torch.bmm(slots.view(len(a), self.most, -1), a.transpose(1, 2))  # [N, most, r]
        out = _outputs(low, parts).flatten(0, 1)
        return (out if self.laid_out else out.index_select(0, self.slot)).unsqueeze(1)
