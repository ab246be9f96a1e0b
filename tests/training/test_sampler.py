from __future__ import annotations

import pytest

from falcon.training.sampler import UniformSampler
from tests.training.setups import make_problem

PROBLEMS = [make_problem(i) for i in range(5)]


def test_every_problem_comes_once_an_epoch() -> None:
    sampler = UniformSampler(PROBLEMS, 3)
    epochs = [[p.id for _ in range(5) for p in sampler.next(1)] for _ in range(6)]
    for epoch in epochs:
        assert sorted(epoch) == sorted(p.id for p in PROBLEMS)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_a_batch_has_different_problems_across_an_epoch_border() -> None:
    sampler = UniformSampler(PROBLEMS, 0)
    for _ in range(20):
        assert len({p.id for p in sampler.next(3)}) == 3
    assert {p.id for p in sampler.next(99)} == {p.id for p in PROBLEMS}


def test_the_position_is_all_there_is_to_restore() -> None:
    one, other = UniformSampler(PROBLEMS, 1), UniformSampler(PROBLEMS[::-1], 1)
    one.next(3)
    one.next(3)
    other.position = one.position
    assert [p.id for p in one.next(4)] == [p.id for p in other.next(4)]


def test_the_seed_decides_the_order() -> None:
    orders = {tuple(p.id for p in UniformSampler(PROBLEMS, seed).next(5)) for seed in range(8)}
    assert len(orders) > 4


def test_no_problems_are_refused() -> None:
    with pytest.raises(ValueError, match="no problems"):
        UniformSampler([], 0)
