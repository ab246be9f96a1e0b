from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from falcon.config import Settings
from falcon.policy.lanes import Layout, in_lanes
from falcon.policy.pairs import Pairs
from falcon.policy.policy import Policy
from falcon.training import inner_loop
from falcon.training.batches.items import Item, Sample, attempt_rows, items_of
from falcon.training.inner_loop import adapt, outer_gradient, tensors
from falcon.training.objectives import batch_loss, loss_batches
from tests.models import load_tiny, stir
from tests.training.setups import attempts_of, make_settings

TASKS = 3
PROGRAMS = (
    ("def f(x):\n    return x + 1\n", "pass", 0),
    ("def f(x):\n    return x\n", "1/3", 0),
    ("def f(x):\n    return nope\n", "NameError", 2),
)


def settings_of(tiny: dict[str, Path], order: int, steps: int = 1, lr: float = 0.5) -> Settings:
    meta = {"order": order, "inner_steps": steps, "inner_lr": lr, "gradient": "outer"}
    return make_settings(tiny["causal"], train={"meta": meta})


def load(tiny: dict[str, Path], kind: str, order: int) -> Policy:
    policy = load_tiny(tiny[kind], second_order=order == 2)
    stir(policy)
    return policy


def items_for(policy: Policy, outer: bool = False) -> list[Item]:
    """Another mini-batch for each task, and another one in the outer loop."""
    items = []
    for task in range(TASKS):
        rows = [PROGRAMS[task], PROGRAMS[(task + 1 + outer) % 3]]
        attempts = attempts_of(policy, rows)
        prompt = tuple(policy.encode("Write f.\n" * (9 * task + 1)))
        items += items_of(
            task,
            [Sample(prompt, a.completion.drawn, attempt_rows(policy, a, {})) for a in attempts],
        )
    return items


def one(items: list[Item], task: int) -> list[Item]:
    return [item for item in items if item.task == task]


def loss_of(policy: Policy, items: list[Item], pairs: Pairs, settings: Settings) -> torch.Tensor:
    return torch.stack(
        [batch_loss(policy, items, r, pairs, settings)[0] for r in loss_batches(items, settings)]
    ).sum()


def adapted_alone(
    policy: Policy, items: list[Item], settings: Settings, *, create_graph: bool
) -> Pairs:
    """Algorithm 1's adaptation of one task, written with one pair of matrices a layer."""
    pairs = policy.bank.meta()
    if not create_graph:
        pairs = {n: tuple(t.detach().requires_grad_() for t in p) for n, p in pairs.items()}  # type: ignore[misc]
    for _ in range(settings.train.meta.inner_steps):
        flat = tensors(pairs)
        grads = torch.autograd.grad(
            loss_of(policy, items, pairs, settings), flat, create_graph=create_graph
        )
        moved = [t - settings.train.meta.inner_lr * g for t, g in zip(flat, grads, strict=True)]
        if not create_graph:
            moved = [t.detach().requires_grad_() for t in moved]
        pairs = {n: (moved[2 * i], moved[2 * i + 1]) for i, n in enumerate(pairs)}
    return pairs


def distance(actual: list[torch.Tensor], wanted: list[torch.Tensor]) -> float:
    """Norm of the difference relative to the norm of what is wanted."""
    a, b = (torch.cat([t.detach().flatten() for t in ts]).double() for ts in (actual, wanted))
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
@pytest.mark.parametrize(("order", "steps"), [(1, 1), (1, 3), (2, 1), (2, 3)])
def test_stacked_adaptation_equals_a_loop_over_tasks(
    tiny: dict[str, Path], kind: str, order: int, steps: int
) -> None:
    policy, settings = (
        load(tiny, kind, order),
        settings_of(tiny, order, steps, lr=0.2 if kind == "causal" else 0.05),
    )
    inner, outer = items_for(policy), items_for(policy, outer=True)
    pairs, _ = adapt(policy, inner, TASKS, settings)
    outer_gradient(policy, outer, pairs, settings)
    gradients = [p.grad.clone() for p in tensors(policy.bank.meta())]  # type: ignore[union-attr]
    meta = tensors(policy.bank.meta())
    sums = [torch.zeros_like(t) for t in meta]
    values = []
    for task in range(TASKS):
        own = adapted_alone(policy, one(inner, task), settings, create_graph=order == 2)
        values.append(tensors(own))
        wanted_at = meta if order == 2 else tensors(own)
        grads = torch.autograd.grad(loss_of(policy, one(outer, task), own, settings), wanted_at)
        sums = [s + g for s, g in zip(sums, grads, strict=True)]
        stacked = [t[task] for t in tensors(pairs)]
        assert distance(stacked, tensors(own)) < 1e-6
        moves = [a - b for a, b in zip(stacked, meta, strict=True)]
        assert distance(moves, [a - b for a, b in zip(tensors(own), meta, strict=True)]) < 1e-4
        assert distance(stacked, meta) > 1e-3
    assert distance(values[0], values[1]) > 1e-3
    assert distance(gradients, sums) < 1e-5


@pytest.mark.parametrize(("order", "steps"), [(1, 1), (1, 2), (2, 2)])
def test_the_gradient_of_all_steps_has_those_of_the_inner_ones(
    tiny: dict[str, Path], order: int, steps: int
) -> None:
    policy, settings = load(tiny, "causal", order), settings_of(tiny, order, steps, lr=0.2)
    changed = {"train": {"meta": settings.train.meta.model_dump() | {"gradient": "all"}}}
    inner, outer = items_for(policy), items_for(policy, outer=True)
    gradients = []
    for now in (settings, make_settings(tiny["causal"], **changed)):
        for t in tensors(policy.bank.meta()):
            t.grad = None
        pairs, _ = adapt(policy, inner, TASKS, now)
        outer_gradient(policy, outer, pairs, now)
        gradients.append([t.grad.clone() for t in tensors(policy.bank.meta())])  # type: ignore[union-attr]
    wanted = [torch.zeros_like(t) for t in gradients[0]]
    for task in range(TASKS):
        at = {
            n: tuple(t.detach().requires_grad_() for t in p) for n, p in policy.bank.meta().items()
        }
        for _ in range(steps):
            grads = torch.autograd.grad(
                loss_of(policy, one(inner, task), at, settings),  # type: ignore[arg-type]
                tensors(at),  # type: ignore[arg-type]
            )
            wanted = [w + g for w, g in zip(wanted, grads, strict=True)]
            moved = [
                (t - settings.train.meta.inner_lr * g).detach().requires_grad_()
                for t, g in zip(tensors(at), grads, strict=True)  # type: ignore[arg-type]
            ]
            at = {n: (moved[2 * i], moved[2 * i + 1]) for i, n in enumerate(at)}
    added = [b - a for a, b in zip(*gradients, strict=True)]
    assert distance(added, wanted) < 1e-4


@pytest.mark.parametrize("kind", ["causal", "smooth"])
def test_order_two_is_the_gradient_of_the_adapted_loss(tiny: dict[str, Path], kind: str) -> None:
    """Against central differences of theta -> sum_i L(theta_i); order 1 is visibly another."""
    lr = {"causal": 0.5, "smooth": 0.1}[kind]
    policy, settings = load(tiny, kind, 2), settings_of(tiny, 2, lr=lr)
    inner, outer = items_for(policy), items_for(policy, outer=True)
    meta = tensors(policy.bank.meta())

    def gradient(order: int) -> list[torch.Tensor]:
        now = settings_of(tiny, order, lr=lr)
        for t in meta:
            t.grad = None
        pairs, _ = adapt(policy, inner, TASKS, now)
        outer_gradient(policy, outer, pairs, now)
        return [t.grad.clone() for t in meta]  # type: ignore[union-attr]

    second, first = gradient(2), gradient(1)
    norm = torch.cat([g.flatten() for g in second]).norm()
    direction = [g / norm for g in second]

    def value(shift: float) -> float:
        with torch.no_grad():
            for t, d in zip(meta, direction, strict=True):
                t.add_(d, alpha=shift)
        pairs, _ = adapt(policy, inner, TASKS, settings)
        with torch.no_grad():
            total = float(loss_of(policy, outer, pairs, settings))
            for t, d in zip(meta, direction, strict=True):
                t.add_(d, alpha=-shift)
        return total

    step = 0.001
    slope = (value(step) - value(-step)) / (2 * step)
    along = [
        sum(float((g * d).sum()) for g, d in zip(grads, direction, strict=True))
        for grads in (second, first)
    ]
    assert along[0] == pytest.approx(slope, rel=5e-3)
    assert abs(along[1] - slope) > 10 * abs(along[0] - slope)


def test_order_zero_is_the_plain_sum(tiny: dict[str, Path]) -> None:
    policy, settings = load(tiny, "causal", 0), settings_of(tiny, 0)
    items = items_for(policy)
    outer_gradient(policy, items, None, settings)
    gradients = [t.grad.clone() for t in tensors(policy.bank.meta())]  # type: ignore[union-attr]
    total = sum(
        loss_of(policy, one(items, task), policy.bank.meta(), settings) for task in range(TASKS)
    )
    wanted = torch.autograd.grad(total, tensors(policy.bank.meta()))  # type: ignore[arg-type]
    assert distance(gradients, list(wanted)) < 1e-5


@pytest.mark.parametrize("order", [1, 2])
def test_alpha_zero_is_plain_policy_gradient_to_the_bit(tiny: dict[str, Path], order: int) -> None:
    policy, settings = load(tiny, "causal", order), settings_of(tiny, order, lr=0.0)
    inner, outer = items_for(policy), items_for(policy, outer=True)
    pairs, report = adapt(policy, inner, TASKS, settings)
    assert pairs is None
    outer_gradient(policy, outer, pairs, settings)
    gradients = [t.grad.clone() for t in tensors(policy.bank.meta())]  # type: ignore[union-attr]
    # -sum of advantage times log-probability, by autograd, on the meta weights.
    for parameter in policy.bank.parameters():
        parameter.grad = None
    for rows in loss_batches(outer, settings):
        batch_loss(policy, outer, rows, policy.bank.meta(), settings)[0].backward()
    for mine, plain in zip(gradients, tensors(policy.bank.meta()), strict=True):
        assert torch.equal(mine, plain.grad)
    stacked = adapt(policy, inner, TASKS, settings_of(tiny, order))[1]
    assert report.terms == pytest.approx(stacked.terms, rel=1e-5)


@pytest.mark.parametrize("order", [1, 2])
def test_micro_batches_do_not_change_the_gradient(tiny: dict[str, Path], order: int) -> None:
    policy = load(tiny, "causal", order)
    inner, outer = items_for(policy), items_for(policy, outer=True)
    gradients, counts = [], []
    for budget in (256, 8192):
        changes: dict[str, Any] = {"micro_batch_tokens": budget, "meta": {"order": order}}
        settings = make_settings(tiny["causal"], train=changes)
        for t in tensors(policy.bank.meta()):
            t.grad = None
        pairs, report = adapt(policy, inner, TASKS, settings)
        outer_gradient(policy, outer, pairs, settings)
        gradients.append([t.grad.clone() for t in tensors(policy.bank.meta())])  # type: ignore[union-attr]
        counts.append(len(loss_batches(inner, settings)))
        assert report.tokens == sum(len(item.completion) for item in inner)
    assert counts[0] > counts[1]
    assert distance(gradients[0], gradients[1]) < 1e-5


@pytest.mark.parametrize("order", [1, 2])
def test_report_is_that_of_the_first_inner_step(tiny: dict[str, Path], order: int) -> None:
    policy = load(tiny, "causal", order)
    inner = items_for(policy)
    once = adapt(policy, inner, TASKS, settings_of(tiny, order, 1))[1]
    thrice = adapt(policy, inner, TASKS, settings_of(tiny, order, 3))[1]
    assert thrice.terms == pytest.approx(once.terms, rel=1e-5)


def test_inner_step_lowers_the_inner_loss(tiny: dict[str, Path]) -> None:
    policy, settings = load(tiny, "causal", 1), settings_of(tiny, 1, lr=0.05)
    inner = items_for(policy)
    before = float(loss_of(policy, inner, policy.bank.stack(TASKS), settings).detach())
    pairs, report = adapt(policy, inner, TASKS, settings)
    assert report.total == pytest.approx(before, rel=1e-5)
    assert float(loss_of(policy, inner, pairs, settings).detach()) < before


@pytest.mark.parametrize("order", [1, 2])
def test_a_task_without_samples_stays_at_the_meta_weights(
    tiny: dict[str, Path], order: int
) -> None:
    """Its programs may all have been lost to sandbox faults."""
    policy, settings = load(tiny, "causal", order), settings_of(tiny, order)
    meta = tensors(policy.bank.meta())
    pairs, _ = adapt(policy, one(items_for(policy), 0), 2, settings)
    assert distance([t[1] for t in tensors(pairs)], meta) == 0
    assert distance([t[0] for t in tensors(pairs)], meta) > 1e-4
    pairs, report = adapt(policy, [], 2, settings)
    assert distance([t[0] for t in tensors(pairs)], meta) == 0
    assert (report.total, report.tokens) == (0, 0)
    outer_gradient(policy, [], pairs, settings)
    assert all(t.grad is None or not t.grad.any() for t in meta)


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
@pytest.mark.parametrize("order", [1, 2])
def test_recomputed_activations_give_the_same_outer_gradient(
    tiny: dict[str, Path], kind: str, order: int
) -> None:
    gradients = []
    for recompute in (False, True):
        policy = load(tiny, kind, order)
        if recompute:
            policy.recompute()
        settings = settings_of(tiny, order)
        pairs, _ = adapt(policy, items_for(policy), TASKS, settings)
        outer_gradient(policy, items_for(policy, outer=True), pairs, settings)
        gradients.append([p.grad.clone() for p in policy.bank.parameters() if p.grad is not None])
    assert len(gradients[0]) > 0
    assert distance(gradients[1], gradients[0]) < 1e-5


@pytest.mark.parametrize("order", [0, 1])
def test_lanes_give_the_gradient_of_one_lane_to_the_bit(
    tiny: dict[str, Path], order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gradient(lanes: int) -> list[torch.Tensor]:
        threads: set[str] = set()
        calls, met = itertools.count(), threading.Barrier(lanes)

        def heard(*given: Any) -> Any:
            threads.add(threading.current_thread().name)
            if next(calls) < lanes:
                met.wait(timeout=60)  # as many are at work at once as there are lanes
            return batch_loss(*given)

        monkeypatch.setattr(inner_loop, "update_layout", lambda *_: Layout(lanes, 1))
        monkeypatch.setattr(inner_loop, "batch_loss", heard)
        policy = load(tiny, "causal", order)
        settings = settings_of(tiny, order).changed({"train.micro_batch_tokens": 256})
        fast = adapt(policy, items_for(policy), 3, settings)[0] if order else None
        outer_gradient(policy, items_for(policy, outer=True), fast, settings)
        assert len(threads) == lanes
        return [t.grad.clone() for t in tensors(policy.bank.meta()) if t.grad is not None]

    alone, together = gradient(1), gradient(2)
    assert alone
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_lane_that_fails_is_heard_and_passes_in_step_have_one(
    tiny: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    made = in_lanes(Layout(2, 1), broken, range(5))
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(made)
    policy = load(tiny, "causal", 1)
    policy.recompute()
    assert inner_loop.update_layout(policy, 9).lanes == 1
