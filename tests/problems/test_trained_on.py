"""Which problems a model and its ancestors have learnt from."""

from __future__ import annotations

import json

from falcon.problems import Split
from falcon.problems.trained_on import TrainedOn
from tests.training.setups import make_problem


def test_a_problem_is_known_by_its_id_or_its_statement_whatever_the_spacing() -> None:
    first, second = make_problem(1), make_problem(2)
    learnt = TrainedOn.of([first])
    assert first in learnt
    assert second not in learnt
    renamed = first.model_copy(update={"id": "elsewhere/7", "statement": f"  {first.statement}!"})
    assert renamed in learnt
    reworded = first.model_copy(update={"statement": "Something else."})
    assert reworded in learnt


def test_what_chose_the_weights_counts_and_what_only_scored_them_does_not() -> None:
    splits = (Split.DEMO, Split.TRAIN, Split.VALID, Split.TEST)
    problems = [make_problem(n, split) for n, split in enumerate(splits)]
    learnt = TrainedOn.of(problems)
    assert [p in learnt for p in problems] == [True, True, True, False]


def test_it_grows_from_model_to_model_and_comes_back_from_a_file() -> None:
    first, second = make_problem(1), make_problem(2)
    both = TrainedOn.of([first]) | TrainedOn.of([second])
    again = TrainedOn.from_json(json.loads(json.dumps(both.as_json())))
    assert again == both
    assert first in again
    assert second in again
