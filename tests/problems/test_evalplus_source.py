"""EvalPlus's files: types that JSON lost, base and plus tests, exceptions by task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from limits_for_problems import small

from falcon.config import DataSettings, Settings
from falcon.errors import UserError
from falcon.problems import load_benchmark, load_sources
from falcon.problems.sources import load_any
from falcon.sandbox import Program, Sandbox


def plus_row(task_id: str = "Mbpp/8", **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "task_id": task_id,
        "prompt": '"""\nWrite a function to square every number.\nassert squares([1]) == [1]\n"""\n',
        "entry_point": "squares",
        "canonical_solution": "\ndef squares(xs):\n  return [x * x for x in xs]\n",
        "base_input": [[[1, 2]], [[3]]],
        "plus_input": [[[]], [[-4, 5]]],
        "atol": 0,
        "contract": "",
        "assertion": "",
    }
    return row | changes


def test_base_and_plus_inputs_with_the_reference(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path / "plus.jsonl", [plus_row()])
    (problem,) = load_benchmark(f"evalplus:{path}", tmp_path)
    assert problem.id == "mbppplus/8"
    assert problem.statement == "Write a function to square every number."
    assert problem.examples == "assert squares([1]) == [1]"
    assert problem.base_tests == 2
    assert problem.tests.kind == "call"
    assert [call.args for call in problem.tests.calls] == [([1, 2],), ([3],), ([],), ([-4, 5],)]
    only_base = "def squares(xs):\n    return [x ** 2 for x in xs if x > 0]\n"
    with Sandbox(small()) as sandbox:
        right, half = sandbox.judge_all(
            [Program(problem.solutions[0], problem.tests), Program(only_base, problem.tests)]
        )
    assert right.passed
    assert [case.outcome.value for case in half.cases] == ["pass"] * 3 + ["wrong_answer"]


def test_human_eval_plus_starts_from_its_prompt(tmp_path: Path, write: Any) -> None:
    prompt = "def find_zero(xs: list):\n    '''A root.'''\n"
    row = plus_row(
        "HumanEval/32",
        prompt=prompt,
        entry_point="find_zero",
        canonical_solution="    return -xs[0] / xs[1]\n",
        base_input=[[[1, 2]]],
        plus_input=[],
        atol=1e-4,
    )
    (problem,) = load_benchmark(f"evalplus:{write(tmp_path / 'h.jsonl', [row])}", tmp_path)
    assert (problem.id, problem.starter) == ("humanevalplus/32", prompt)
    assert problem.tests.kind == "call"
    assert (problem.tests.rule, problem.tests.atol) == ("evalplus:root", 1e-4)


@pytest.mark.parametrize(
    ("task", "given", "want"),
    [
        (2, [[1, 2], [3]], ((1, 2), (3,))),
        (63, [[[1, 2], [3, 4]]], ([(1, 2), (3, 4)],)),
        (75, [[[1, 2]], 5], ([(1, 2)], 5)),
        (106, [[1], [2]], ([1], (2,))),
        (115, [[[1], []]], ([{1}, {}],)),
        (124, ["1.5", "2j"], (1.5, 2j)),
        (252, ["1+2j"], (1 + 2j,)),
        (250, [[1, 2], 1], ((1, 2), 1)),
        (307, [["a"], 2, 3], (("a",), 2, 3)),
        (259, [[[1, 2]], [[3, 4]]], (((1, 2),), ((3, 4),))),
        (278, [[1, [2, 3]]], ((1, (2, 3)),)),
        (722, [{"a": [1, 2]}, 3], ({"a": (1, 2)}, 3)),
        (580, [[1, [2, [3]]]], ((1, (2, (3,))),)),
        (8, [[1, [2]]], ([1, [2]],)),
    ],
)
def test_types_that_json_lost_are_given_back(
    tmp_path: Path, write: Any, task: int, given: list[Any], want: tuple[Any, ...]
) -> None:
    row = plus_row(f"Mbpp/{task}", base_input=[given], plus_input=[])
    (problem,) = load_benchmark(f"evalplus:{write(tmp_path / 'p.jsonl', [row])}", tmp_path)
    assert problem.tests.kind == "call"
    found = problem.tests.calls[0].args
    assert found == want
    assert repr(found) == repr(want)


def test_infinite_inputs_are_read_here_and_nowhere_else(
    tmp_path: Path, write: Any, make_row: Any
) -> None:
    row = plus_row(base_input=[[[float("-inf"), 1.0]]], plus_input=[[[float("inf")]]])
    (problem,) = load_benchmark(f"evalplus:{write(tmp_path / 'p.jsonl', [row])}", tmp_path)
    assert problem.tests.kind == "call"
    assert problem.tests.calls[0].args == ([float("-inf"), 1.0],)
    with Sandbox(small()) as sandbox:
        assert sandbox.judge(Program(problem.solutions[0], problem.tests)).passed
    path = write(tmp_path / "own.jsonl", [make_row("a"), make_row("b", tags=[float("nan")])])
    with pytest.raises(UserError, match="row 2: not JSON"):
        load_sources(DataSettings(sources=(f"jsonl:{path}",)), tmp_path)


def test_exceptions_of_single_tasks_are_named(tmp_path: Path, write: Any) -> None:
    rows = [
        plus_row("Mbpp/295", entry_point="sum_div", canonical_solution="def sum_div(x): return x"),
        plus_row(
            "Mbpp/7",
            entry_point="find_char_long",
            canonical_solution="def find_char_long(x): return x",
        ),
        plus_row(
            "Mbpp/794",
            entry_point="text_starta_endb",
            canonical_solution="def text_starta_endb(x): return x",
        ),
    ]
    problems = load_benchmark(f"evalplus:{write(tmp_path / 'p.jsonl', rows)}", tmp_path)
    assert [getattr(p.tests, "rule", "") for p in problems] == [
        "evalplus:zero",
        "evalplus:set",
        "evalplus:not-none",
    ]


def test_it_is_read_as_a_benchmark_where_any_name_may_stand(tmp_path: Path, write: Any) -> None:
    name = f"evalplus:{write(tmp_path / 'p.jsonl', [plus_row()])}"
    assert load_any(name, Settings(), tmp_path) == load_benchmark(name, tmp_path)


def test_it_is_a_benchmark_and_what_is_wrong_is_named(tmp_path: Path, write: Any) -> None:
    with pytest.raises(UserError, match="never trained on"):
        load_sources(DataSettings(sources=("evalplus:x.jsonl",)), tmp_path)
    with pytest.raises(UserError, match="no file is named"):
        load_benchmark("evalplus", tmp_path)
    rows = [
        plus_row(base_input=[]),
        plus_row("Mbpp/124", base_input=[["one", "2j"]]),
        plus_row("Other/1"),
        plus_row("Mbpp/9", canonical_solution="def other(x): return x"),
    ]
    with pytest.raises(UserError) as caught:
        load_benchmark(f"evalplus:{write(tmp_path / 'p.jsonl', rows)}", tmp_path)
    for part in ("row 1, `base_input`", "row 2, `base_input`", "row 3, `task_id`", "row 4"):
        assert part in str(caught.value)
