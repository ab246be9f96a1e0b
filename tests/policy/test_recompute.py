"""Recomputed activations: the same gradients, every block run twice, generation untouched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from falcon.generation.completion import Draws, Sampling
from falcon.generation.local import LocalGenerator
from falcon.policy.likelihood import Group, score
from falcon.policy.policy import Policy
from falcon.training.inner_loop import tensors
from tests.models import load_tiny, stir, tiny_causal, tiny_seq2seq


@pytest.fixture(scope="module", params=["causal", "seq2seq"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    made: Path = tiny_causal(folder) if request.param == "causal" else tiny_seq2seq(folder)
    return made


def loaded(model: Path, recompute: bool) -> Policy:
    policy = load_tiny(model)
    stir(policy)
    if recompute:
        policy.recompute()
    return policy


def gradients(policy: Policy, tasks: int) -> tuple[list[torch.Tensor], int]:
    """Gradients of two tasks' rows under stacked pairs (or the meta weights), and runs of a block."""
    pairs = policy.bank.stack(tasks) if tasks else policy.bank.meta()
    groups = [
        Group((5, 6, 7), ((8, 9), (9, 8, 7)), 0, (0, 1)),
        Group((6, 6), ((5, 5, 5),), max(tasks - 1, 0), (2,)),
    ]
    runs = [0]

    def count(*_: object) -> None:
        runs[0] += 1

    name = policy.bank.names[0].rsplit(".", 1)[0]
    handle = policy.model.get_submodule(name).register_forward_hook(count)
    scored = score(policy, groups, pairs, temperature=0.7, top_p=1.0)
    # Other weights are in use by the time the backward pass runs.
    with policy.bank.use(None):
        scored.log_probs.sum().backward()
    handle.remove()
    return [t.grad for t in tensors(pairs) if t.grad is not None], runs[0]


@pytest.mark.parametrize("tasks", [0, 2])
def test_gradients_are_the_same_and_blocks_run_twice(model: Path, tasks: int) -> None:
    wanted, once = gradients(loaded(model, recompute=False), tasks)
    found, twice = gradients(loaded(model, recompute=True), tasks)
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)
    assert twice == 2 * once


def test_generation_keeps_its_cache(model: Path) -> None:
    sampling = Sampling(0.8, 1.0, 6, 4)
    plain, other = (
        LocalGenerator(loaded(model, flag)).generate([[5, 6], [7]], Draws(sampling, 2, 1))
        for flag in (False, True)
    )
    assert plain == other
