"""The inner loop of MRLF: theta_i <- theta_i - alpha * grad L_inner(theta_i) (eq. 3).

All N tasks of a meta-batch adapt at once, as stacks of adapter pairs (fast weights): A [N, r, in],
B [N, out, r]. Order 1 treats the inner gradient as a constant (FOMAML). Order 2 differentiates
through it, so it keeps the graph of all micro-batches in memory, which is for small models. Plain
SGD without momentum, as in MAML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from falcon.config import Settings
from falcon.policy.lanes import Layout, in_lanes, layout_for
from falcon.policy.likelihood import Group, score
from falcon.policy.pairs import Pairs, is_stacked
from falcon.policy.policy import Policy
from falcon.training.batches.items import Item
from falcon.training.objectives import LossReport, batch_loss, loss_batches, merge


def tensors(pairs: Pairs) -> list[torch.Tensor]:
    """All tensors of the pairs, in a fixed order."""
    return [t for pair in pairs.values() for t in pair]


def accumulate(
    policy: Policy, items: Sequence[Item], pairs: Pairs, settings: Settings, *, shared: bool = False
) -> LossReport:
    """Backward pass of the losses on ``pairs``, micro-batch by micro-batch; gradients add up.

    ``shared``: the pairs share one graph (order 2), so all losses need one backward pass together.
    """
    if shared:
        total, report = _total_loss(policy, items, pairs, settings)
        if total is not None:
            total.backward()  # type: ignore[no-untyped-call]
        return report
    batches = loss_batches(items, settings, packed=policy.packs)
    missing = policy.passes(len(batches)) - len(batches)

    def one(rows: list[Group]) -> tuple[_Part, LossReport]:
        part = _Part.of(pairs, rows)
        total, report = batch_loss(policy, items, part.renumbered(rows), part.pairs, settings)
        if total.requires_grad:
            total.backward()  # type: ignore[no-untyped-call]
        return part, report

    reports = []
    for part, report in in_lanes(update_layout(policy, len(batches)), one, batches):
        part.add_gradients_to(pairs)  # in order: the sum does not depend on who ends first
        reports.append(report)
    _make_empty_passes(policy, missing, pairs)
    return merge(reports)


def update_layout(policy: Policy, batches: int) -> Layout:
    """How many micro-batches are worked on at once: one where passes are not each for itself."""
    if policy.in_step or batches < 2:
        return Layout(1, torch.get_num_threads())
    return layout_for(policy, batches)


def _total_loss(
    policy: Policy, items: Sequence[Item], pairs: Pairs, settings: Settings
) -> tuple[torch.Tensor | None, LossReport]:
    """The loss of all micro-batches with its graph; None where there are none."""
    batches = loss_batches(items, settings, packed=policy.packs)
    parts = [batch_loss(policy, items, rows, pairs, settings) for rows in batches]
    total = torch.stack([loss for loss, _ in parts]).sum() if parts else None
    return total, merge([report for _, report in parts])


def _make_empty_passes(policy: Policy, count: int, pairs: Pairs) -> None:
    """Make ``count`` passes that add nothing to any gradient.

    Where the backbone is split, every pass gathers weights from all processes. One that has fewer
    micro-batches than another must make as many passes, or the others would wait for ever.
    """
    if not count:
        return
    pad = int(policy.tokenizer.pad_token_id)
    rows = [Group((pad,), ((pad,),), 0, (0,))]
    used = _Part.of(pairs, rows).pairs
    for _ in range(count):
        nothing = 0.0 * score(policy, rows, used, temperature=1.0, top_p=1.0).log_probs.sum()
        if nothing.requires_grad:
            nothing.backward()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class _Part:
    """The weights that one micro-batch needs, as leaves of its own.

    Of a stack, those of its M tasks [M, ...]: a gradient of the whole stack [N, ...] for every
    micro-batch would be mostly zeros to write and add.
    """

    tasks: list[int]  # [M], places in the stack; empty where there is none
    pairs: Pairs

    @classmethod
    def of(cls, pairs: Pairs, rows: Sequence[Group]) -> _Part:
        """The part that these rows need, tasks in the order of their first rows."""
        tasks = list(dict.fromkeys(row.task for row in rows)) if is_stacked(pairs) else []

        def own(tensor: torch.Tensor) -> torch.Tensor:
            tensor = tensor.detach()
            return (tensor[tasks] if tasks else tensor).requires_grad_()

        return cls(tasks, {name: (own(a), own(b)) for name, (a, b) in pairs.items()})

    def renumbered(self, rows: Sequence[Group]) -> list[Group]:
        """The rows with their tasks' places in :attr:`tasks`."""
        place = {task: i for i, task in enumerate(self.tasks)}
        return [replace(row, task=place.get(row.task, 0)) for row in rows]

    @torch.no_grad()
    def add_gradients_to(self, pairs: Pairs) -> None:
        """Add the gradients of this part to those of the whole."""
        at = torch.tensor(self.tasks, device=next(iter(pairs.values()))[0].device)
        for whole, part in zip(tensors(pairs), tensors(self.pairs), strict=True):
            if part.grad is None:
                continue
            if whole.grad is None:
                whole.grad = torch.zeros_like(whole)
            if self.tasks:
                whole.grad.index_add_(0, at, part.grad)  # [N, ...] += [M, ...] at the M places
            else:
                whole.grad.add_(part.grad)


def adapt(
    policy: Policy, items: Sequence[Item], tasks: int, settings: Settings
) -> tuple[Pairs | None, LossReport]:
    """Adapted weights of every task, stacked [N, ...], after ``meta.inner_steps`` of SGD.

    Order 1 returns leaves, ready to gather the outer gradient; order 2 returns tensors whose
    graph leads to the meta weights. None for ``meta.inner_lr: 0``: every theta_i is theta, and
    what follows is plain policy gradient, to the bit. The report is of the first inner step.
    """
    if settings.train.meta.inner_lr == 0:
        meta = policy.bank.meta()
        with torch.no_grad():
            batches = loss_batches(items, settings, packed=policy.packs)
            missing = policy.passes(len(batches)) - len(batches)
            reports = [batch_loss(policy, items, rows, meta, settings)[1] for rows in batches]
            _make_empty_passes(policy, missing, meta)
        return None, merge(reports)
    if settings.train.meta.order == 2:
        step = _step_second_order
        # Views of theta and not copies, so that the graph leads back to it.
        pairs: Pairs = {
            name: (a.expand(tasks, *a.shape), b.expand(tasks, *b.shape))
            for name, (a, b) in policy.bank.meta().items()
        }
    else:
        step, pairs = _step_first_order, policy.bank.stack(tasks)
    reports = []
    for _ in range(settings.train.meta.inner_steps):
        pairs, report = step(policy, items, pairs, settings)
        reports.append(report)
    return pairs, reports[0]  # the loss before anything was adapted


def _step_first_order(
    policy: Policy, items: Sequence[Item], pairs: Pairs, settings: Settings
) -> tuple[Pairs, LossReport]:
    report = accumulate(policy, items, pairs, settings)
    with torch.no_grad():
        for tensor in tensors(pairs):
            if tensor.grad is not None:
                # In place: leaves stay leaves, and the outer gradient is gathered on them as well.
                tensor.sub_(tensor.grad, alpha=settings.train.meta.inner_lr)
                tensor.grad = None
    return pairs, report


def _step_second_order(
    policy: Policy, items: Sequence[Item], pairs: Pairs, settings: Settings
) -> tuple[Pairs, LossReport]:
    total, report = _total_loss(policy, items, pairs, settings)
    if total is None:  # every sample was lost to sandbox faults
        return pairs, report
    flat = tensors(pairs)
    # The gradient is part of the graph, so the outer loss is differentiated through it, too.
    gradients = torch.autograd.grad(total, flat, create_graph=True)
    alpha = settings.train.meta.inner_lr
    moved = [t - alpha * g for t, g in zip(flat, gradients, strict=True)]
    return {name: (moved[2 * i], moved[2 * i + 1]) for i, name in enumerate(pairs)}, report


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
        # First order: d theta_i / d theta is taken as the identity, so gradients only add up.
        for target, source in zip(tensors(meta), tensors(pairs), strict=True):
            if source.grad is not None:
                _add_gradient(target, source.grad.sum(0))  # [N, ...] -> [...]
    if settings.train.meta.gradient == "all":
        for target, gradient in zip(
            tensors(meta), inner_gradients(policy, pairs, settings), strict=True
        ):
            _add_gradient(target, gradient)
    return report


@torch.no_grad()
def inner_gradients(policy: Policy, pairs: Pairs, settings: Settings) -> list[torch.Tensor]:
    """The gradients of all inner steps, summed over the tasks, in the order of :func:`tensors`.

    They need no pass of their own: SGD moved theta_i by alpha times their sum.
    """
    alpha = settings.train.meta.inner_lr
    meta = policy.bank.meta()
    return [
        (target - source).sum(0) / alpha  # [...] - [N, ...] -> [...]
        for target, source in zip(tensors(meta), tensors(pairs), strict=True)
    ]


def _add_gradient(target: torch.Tensor, gradient: torch.Tensor) -> None:
    target.grad = gradient if target.grad is None else target.grad + gradient
