"""Conditions of a recall: score, diversity, the very same task."""

from __future__ import annotations

import numpy as np
import pytest

from falcon.memory import HashEncoder, LongTermMemory, text_of
from falcon.memory.search import POOL
from falcon.sandbox.verdict import Outcome

SUMS = "Sum the numbers of the list."


def steps(hits) -> list[int]:
    return [hit.experience.origin.step for hit in hits]


def test_what_scored_too_low_is_not_recalled_however_much_of_it_there_is(folder, encoder, make):
    low = [make(i, problem=f"low/{i}", task=f"{SUMS} Variant {i}.", score=-0.3) for i in range(150)]
    high = [make(i, problem=f"high/{i}", task=f"Reverse {i} strings.") for i in range(200, 203)]
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        memory.append([*low, *high])
        assert set(steps(memory.recall(SUMS, k=3, min_similarity=-1))) <= set(range(150))
        hits = memory.recall(SUMS, k=3, min_similarity=-1, min_score=0.5)
        assert sorted(steps(hits)) == [200, 201, 202]
        assert memory.recall(SUMS, k=3, min_similarity=0.9, min_score=0.5) == []
        assert memory.recall(SUMS, k=3, min_similarity=-1, min_score=2) == []


def test_the_very_same_task_is_left_out_under_any_name(folder, encoder, make) -> None:
    experiences = [
        make(1, problem="a/1", task=SUMS),
        make(2, problem="b/1", task="  sum THE numbers\n of the list. "),
        make(3, problem="c/1", task="Sum the numbers of the tuple."),
    ]
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        memory.append(experiences)
        assert set(steps(memory.recall(SUMS, k=3, min_similarity=-1))) == {1, 2, 3}
        assert steps(memory.recall(SUMS, k=3, min_similarity=-1, unseen=True)) == [3]


def greedy(rows: np.ndarray, relevance: np.ndarray, k: int, weight: float) -> set[int]:
    """Maximal marginal relevance, written down as defined."""
    chosen: list[int] = []
    while len(chosen) < k:
        worth = [
            (1 - weight) * relevance[i]
            - weight * max((float(rows[i] @ rows[j]) for j in chosen), default=-1.0)
            if i not in chosen
            else -np.inf
            for i in range(len(rows))
        ]
        chosen.append(int(np.argmax(worth)))
    return set(chosen)


def test_diversity_is_maximal_marginal_relevance_over_the_nearest(folder, make) -> None:
    encoder = HashEncoder(128)
    rng = np.random.default_rng(4)
    words = [f"word{i}" for i in range(40)]
    experiences = [make(i, task=" ".join(rng.choice(words, size=9))) for i in range(60)]
    task = " ".join(words[:9])
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        memory.append(experiences)
        near = memory.recall(task, k=POOL * 4, min_similarity=-1)
        rows = encoder.encode([text_of(hit.experience) for hit in near]).astype(float)
        relevance = np.array([hit.similarity for hit in near])
        for weight in (0.2, 0.5, 0.8):
            hits = memory.recall(task, k=4, min_similarity=-1, diversity=weight)
            assert set(steps(hits)) == {
                near[i].experience.origin.step for i in greedy(rows, relevance, 4, weight)
            }
            assert [hit.similarity for hit in hits] == sorted(
                (hit.similarity for hit in hits), reverse=True
            )
        with pytest.raises(ValueError, match="diversity"):
            memory.recall(task, k=4, min_similarity=-1, diversity=1.0)


def test_diversity_does_not_recall_equal_texts_twice(folder, encoder, make) -> None:
    same = [make(i, problem="p", task=SUMS) for i in range(20)]
    other = make(50, task="Sum the numbers of a tuple and print them.")
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        memory.append([*same, other])
        assert steps(memory.recall(SUMS, k=2, min_similarity=-1)) == [0, 1]
        assert steps(memory.recall(SUMS, k=2, min_similarity=-1, diversity=0.5)) == [0, 50]


def test_a_problem_with_very_many_samples_costs_no_more_and_hides_no_other(folder, encoder, make):
    experiences = [
        make(i, problem="p", task=SUMS, outcome=Outcome.WRONG_ANSWER, error="wrong-answer")
        for i in range(400)
    ]
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        memory.append([*experiences, make(900, task="Sum the numbers.")])
        assert steps(memory.recall(SUMS, k=2, min_similarity=-1, exclude={"p"})) == [900]
        assert set(steps(memory.recall(SUMS, k=3, min_similarity=-1))) <= {0, 1, 2, 900}


@pytest.mark.parametrize("diversity", [0.0, 0.5])
def test_passing_is_the_first_program_of_each_task_that_passed(
    folder, encoder, make, diversity: float
) -> None:
    experiences = [
        make(0, problem="a/1", task=SUMS, outcome=Outcome.WRONG_ANSWER, error="wrong_answer"),
        make(1, problem="a/1", task=SUMS),
        make(2, problem="a/1", task=SUMS, score=2.0),
        make(3, problem="b/1", task="Sum the numbers of the tuple."),
        make(4, problem="c/1", task=f"{SUMS} Skip the first.", outcome=Outcome.TIMEOUT),
    ]
    experiences[0] = experiences[0].model_copy(update={"feedback": experiences[1].feedback})
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        memory.append(experiences)
        how = {"k": 5, "min_similarity": -1.0, "diversity": diversity}
        assert set(steps(memory.recall(SUMS, **how, passing=True))) == {1, 3}
        assert steps(memory.recall(SUMS, **how, passing=True, exclude={"a/1"})) == [3]
