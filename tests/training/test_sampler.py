from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from falcon.memory import HashEncoder, LongTermMemory
from falcon.training.samplers import (
    DifficultySampler,
    SuccessSampler,
    UniformSampler,
    make_sampler,
)
from tests.training.setups import demonstration, make_problem, make_settings

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


def levels(sampler: DifficultySampler, batches: int) -> list[set[str]]:
    return [{p.difficulty.value for p in sampler.next(4)} for _ in range(batches)]


def test_harder_problems_join_as_training_goes_on() -> None:
    names = ("introductory", "interview", "competition")
    problems = [make_problem(i, difficulty=names[i % 3]) for i in range(12)]
    batches = levels(DifficultySampler(problems, 0, 30), 30)
    assert set().union(*batches[:10]) == {"introductory"}
    assert set().union(*batches[10:20]) == {"introductory", "interview"}
    assert set().union(*batches[20:]) == set(names)
    one = DifficultySampler(PROBLEMS, 0, 30)
    assert levels(one, 3) == [{"introductory"}] * 3
    assert len({p.id for p in one.next(5)}) == 5


def test_uncertain_problems_come_most_and_none_is_left_out() -> None:
    outcomes = {PROBLEMS[0].id: (5, 10), PROBLEMS[1].id: (30, 30), PROBLEMS[2].id: (0, 30)}
    sampler = SuccessSampler(PROBLEMS[:3], 0, lambda name: outcomes[name])
    drawn = Counter(p.id for _ in range(600) for p in sampler.next(1))
    assert drawn[PROBLEMS[0].id] > 400
    assert min(drawn[p.id] for p in PROBLEMS[1:3]) > 10
    # A problem without outcomes is as uncertain as can be.
    fresh = SuccessSampler(PROBLEMS[:3], 0, lambda name: outcomes[name] if "1" in name else (0, 0))
    assert all(len({p.id for p in fresh.next(3)}) == 3 for _ in range(5))


def test_the_position_restores_the_others_too() -> None:
    for make in (
        lambda: DifficultySampler(PROBLEMS, 4, 9),
        lambda: SuccessSampler(PROBLEMS, 4, lambda name: (1, 3)),
    ):
        one, other = make(), make()
        one.next(2)
        one.next(2)
        other.position = one.position
        assert [p.id for p in one.next(3)] == [p.id for p in other.next(3)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("uniform", UniformSampler), ("difficulty", DifficultySampler), ("success", SuccessSampler)],
)
def test_the_setting_names_the_sampler_and_memory_tells_the_successes(
    tmp_path: Path, name: str, kind: type
) -> None:
    settings = make_settings(tmp_path, train={"sampler": name})
    with LongTermMemory.open(tmp_path / "memory", HashEncoder(), writable=True) as memory:
        memory.append([demonstration(PROBLEMS[1])])
        assert memory.successes(PROBLEMS[1].id) == (1, 1)
        assert memory.successes(PROBLEMS[2].id) == (0, 0)
        assert isinstance(make_sampler(settings, PROBLEMS, memory), kind)
