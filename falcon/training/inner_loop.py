"""The inner loop of MRLF: theta_i <- theta_i - alpha * grad L_inner(theta_i) (eq. 3).

All tasks of a meta-batch adapt at once, as stacks of adapter pairs. Order 1 treats the
inner gradient as a constant (FOMAML); order 2 differentiates through it and holds the whole
graph, which is for small models. Plain SGD without momentum, as in MAML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from falcon.policy.likelihood import Group, score
from falcon.training.batches.items import Item
from falcon.training.objectives import LossReport, batch_loss, loss_batches, merge

if TYPE_CHECKING:
    from falcon.config import Settings
    from falcon.policy.adapter import Pairs
    from falcon.policy.policy import Policy


def tensors(pairs: Pairs) -> list[torch.Tensor]:
    """All tensors of the pairs, in a fixed order."""
    return [t for pair in pairs.values() for t in pair]


def _rebuilt(pairs: Pairs, flat: Sequence[torch.Tensor]) -> Pairs:
    return {name: (flat[2 * i], flat[2 * i + 1]) for i, name in enumerate(pairs)}


def accumulate(
    policy: Policy, items: Sequence[Item], pairs: Pairs, settings: Settings, *, shared: bool = False
) -> LossReport:
    """Backward pass of the losses on ``pairs``, micro-batch by micro-batch; gradients add up.

    ``shared``: the pairs hang on one graph (order 2), which can be walked back only once.
    """
    if shared:
        parts = [
            batch_loss(policy, items, rows, pairs, settings)
            for rows in loss_batches(items, settings)
        ]
        if parts:
            torch.stack([loss for loss, _ in parts]).sum().backward()  # type: ignore[no-untyped-call]
        return merge([report for _, report in parts])
    reports = []
    stacked = next(iter(pairs.values()))[0].dim() == 3
    batches = loss_batches(items, settings)
    missing = policy.passes(len(batches)) - len(batches)
    for rows in batches:
        used, taken = _of_rows(pairs, rows) if stacked else (pairs, None)
        told = taken.renumbered(rows) if taken else rows
        total, report = batch_loss(policy, items, told, used, settings)
        if total.requires_grad:
            total.backward()  # type: ignore[no-untyped-call]
        if taken:
            taken.put_back(pairs, used)
        reports.append(report)
    _keep_up(policy, missing, pairs)
    return merge(reports)


def _keep_up(policy: Policy, missing: int, pairs: Pairs) -> None:
    """Passes that add nothing, where the weights are split and another process has more to do."""
    if not missing:
        return
    pad = int(policy.tokenizer.pad_token_id)
    rows = [Group((pad,), ((pad,),), 0, (0,))]
    stacked = next(iter(pairs.values()))[0].dim() == 3
    used = _of_rows(pairs, rows)[0] if stacked else pairs
    for _ in range(missing):
        nothing = 0.0 * score(policy, rows, used, temperature=1.0, top_p=1.0).log_probs.sum()
        if nothing.requires_grad:
            nothing.backward()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class _Taken:
    """Tasks of one micro-batch, in the order of their first rows."""

    tasks: list[int]

    def renumbered(self, rows: Sequence[Group]) -> list[Group]:
        """The rows with their tasks' places in :attr:`tasks`."""
        place = {task: i for i, task in enumerate(self.tasks)}
        return [replace(row, task=place[row.task]) for row in rows]

    @torch.no_grad()
    def put_back(self, pairs: Pairs, used: Pairs) -> None:
        """Add the gradients of the weights of these tasks to those of the whole stack."""
        at = torch.tensor(self.tasks, device=next(iter(pairs.values()))[0].device)
        for whole, part in zip(tensors(pairs), tensors(used), strict=True):
            if part.grad is None:
                continue
            if whole.grad is None:
                whole.grad = torch.zeros_like(whole)
            whole.grad.index_add_(0, at, part.grad)


def _of_rows(pairs: Pairs, rows: Sequence[Group]) -> tuple[Pairs, _Taken]:
    """Leaves of the weights of these rows' tasks alone.

    A gradient of the whole stack for every micro-batch would be mostly zeros to write and add.
    """
    tasks = list(dict.fromkeys(row.task for row in rows))
    used = {
        name: (a.detach()[tasks].requires_grad_(), b.detach()[tasks].requires_grad_())
        for name, (a, b) in pairs.items()
    }
    return used, _Taken(tasks)


def adapt(
    policy: Policy, items: Sequence[Item], tasks: int, settings: Settings
) -> tuple[Pairs | None, LossReport]:
    """Adapted weights of every task, stacked [N, ...], after ``meta.inner_steps`` of SGD.

    Order 1 returns leaves, ready to gather the outer gradient; order 2 returns tensors whose
    graph leads to the meta weights. None for ``meta.inner_lr: 0``: every theta_i is theta, and
    what follows is plain policy gradient, to the bit.
    """
    if settings.train.meta.inner_lr == 0:
        meta = policy.bank.meta()
        with torch.no_grad():
            batches = loss_batches(items, settings)
            missing = policy.passes(len(batches)) - len(batches)
            reports = [batch_loss(policy, items, rows, meta, settings)[1] for rows in batches]
            _keep_up(policy, missing, meta)
        return None, merge(reports)
    step = _step_second_order if settings.train.meta.order == 2 else _step_first_order
    if settings.train.meta.order == 2:
        pairs: Pairs = {
            name: (a.expand(tasks, *a.shape), b.expand(tasks, *b.shape))
            for name, (a, b) in policy.bank.meta().items()
        }
    else:
        pairs = policy.bank.stack(tasks)
    report = LossReport({}, 0.0, 0, 0.0)
    for number in range(settings.train.meta.inner_steps):
        pairs, latest = step(policy, items, pairs, settings)
        report = latest if number == 0 else report
    return pairs, report


def _step_first_order(
    policy: Policy, items: Sequence[Item], pairs: Pairs, settings: Settings
) -> tuple[Pairs, LossReport]:
    report = accumulate(policy, items, pairs, settings)
    with torch.no_grad():
        for tensor in tensors(pairs):
            if tensor.grad is not None:
                tensor.sub_(tensor.grad, alpha=settings.train.meta.inner_lr)
                tensor.grad = None
    return pairs, report


def _step_second_order(
    policy: Policy, items: Sequence[Item], pairs: Pairs, settings: Settings
) -> tuple[Pairs, LossReport]:
    parts = [
        batch_loss(policy, items, rows, pairs, settings) for rows in loss_batches(items, settings)
    ]
    if not parts:  # every sample was lost to sandbox faults
        return pairs, merge([])
    total = torch.stack([loss for loss, _ in parts]).sum()
    flat = tensors(pairs)
    gradients = torch.autograd.grad(total, flat, create_graph=True)
    alpha = settings.train.meta.inner_lr
    moved = [t - alpha * g for t, g in zip(flat, gradients, strict=True)]
    return _rebuilt(pairs, moved), merge([report for _, report in parts])


def outer_gradient(
    policy: Policy, items: Sequence[Item], pairs: Pairs | None, settings: Settings
) -> LossReport:
    """Put the gradient of L_meta = sum_i L_inner(theta_i) (eq. 4) on the meta weights.

    ``pairs`` are the adapted weights, or None where theta itself is meant (order 0, alpha 0).
    """
    meta = policy.bank.meta()
    if pairs is None:
        return accumulate(policy, items, meta, settings)
    if settings.train.meta.order == 2:
        report = accumulate(policy, items, pairs, settings, shared=True)
    else:
        report = accumulate(policy, items, pairs, settings)
        for name, (a, b) in meta.items():
            for target, source in zip((a, b), pairs[name], strict=True):
                if source.grad is not None:
                    _add_gradient(target, source.grad.sum(0))
    if settings.train.meta.gradient == "all":
        for target, gradient in zip(
            tensors(meta), inner_gradients(policy, pairs, settings), strict=True
        ):
            _add_gradient(target, gradient)
    return report


@torch.no_grad()
def inner_gradients(policy: Policy, pairs: Pairs, settings: Settings) -> list[torch.Tensor]:
    """The gradients of all inner steps, summed over the tasks: how far these went over alpha.

    As :func:`tensors` of the meta weights.
    """
    alpha = settings.train.meta.inner_lr
    meta = policy.bank.meta()
    return [
        (target - source).sum(0) / alpha
        for target, source in zip(tensors(meta), tensors(pairs), strict=True)
    ]


def _add_gradient(target: torch.Tensor, gradient: torch.Tensor) -> None:
    target.grad = gradient if target.grad is None else target.grad + gradient
