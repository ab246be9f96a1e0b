"""APPS in its three forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from limits_for_problems import small

from falcon.config import DataSettings
from falcon.errors import UserError
from falcon.problems import load_benchmark, load_sources
from falcon.sandbox import Program, Sandbox

STDIN = {"inputs": ["1 2\n", ["3", "4"]], "outputs": ["3\n", ["7"]]}
CALLS = {"fn_name": "total", "inputs": [[{"1": 2}], [{"3": 4}]], "outputs": [[2], [4]]}
ADD = "print(sum(map(int, sys.stdin.read().split())))"
PYTHON_2 = "print sum(map(int, raw_input().split()))"


def hub_row(number: int, tests: Any, **changes: Any) -> dict[str, Any]:
    row = {
        "problem_id": number,
        "question": f"Add the numbers of task {number}.",
        "solutions": json.dumps([PYTHON_2, ADD]),
        "input_output": json.dumps(tests),
        "difficulty": "interview",
        "url": "",
        "starter_code": "",
    }
    return row | changes


def folder_of(root: Path, number: int, tests: Any, level: str = "competition") -> None:
    folder = root / f"{number:04d}"
    folder.mkdir(parents=True)
    (folder / "question.txt").write_text(f"Add the numbers of task {number}.\n")
    (folder / "input_output.json").write_text(json.dumps(tests))
    (folder / "solutions.json").write_text(json.dumps([ADD]))
    (folder / "metadata.json").write_text(json.dumps({"difficulty": level, "url": ""}))


def test_rows_of_the_hub(tmp_path: Path, write: Any) -> None:
    rows = [
        hub_row(7, STDIN),
        hub_row(8, CALLS, solutions=json.dumps(["def total(d):\n    return sum(d.values())"])),
    ]
    path = write(tmp_path / "apps.jsonl", rows)
    printed, called = load_benchmark(f"apps:{path}", tmp_path)
    assert (printed.id, printed.difficulty, printed.uses_stdin) == ("apps/7", "interview", True)
    assert printed.solutions == (ADD,)  # the one that is Python 3
    assert printed.tests.kind == "stdin"
    assert [(r.stdin, r.expected) for r in printed.tests.runs] == [("1 2\n", "3\n"), ("3\n4", "7")]
    assert called.tests.kind == "call"
    assert called.tests.calls[0].args == ({1: 2},)
    with Sandbox(small()) as sandbox:
        verdicts = sandbox.judge_all([Program(p.solutions[0], p.tests) for p in (printed, called)])
        in_class = "class Solution:\n    def total(self, d):\n        return sum(d.values())"
        assert sandbox.judge(Program(in_class, called.tests)).passed
    assert [v.passed for v in verdicts] == [True, True]


def test_a_reference_may_be_a_method(tmp_path: Path, write: Any) -> None:
    """Those of LeetCode's tasks are: without them such a task would have no reference."""
    other = "class Solution:\n    def sum(self, d):\n        return 0"
    in_class = "class Solution:\n    def total(self, d):\n        return sum(d.values())"
    rows = [hub_row(8, CALLS, solutions=json.dumps([other, in_class]))]
    (problem,) = load_benchmark(f"apps:{write(tmp_path / 'apps.jsonl', rows)}", tmp_path)
    assert problem.solutions == (in_class,)
    with Sandbox(small()) as sandbox:
        assert sandbox.judge(Program(in_class, problem.tests)).passed


def test_folders_and_a_json_list(tmp_path: Path) -> None:
    folder_of(tmp_path / "test", 12, STDIN)
    folder_of(tmp_path / "test", 3, CALLS, "introductory")
    problems = load_benchmark(f"apps:{tmp_path / 'test'}", tmp_path)
    assert [(p.id, p.difficulty.value) for p in problems] == [
        ("apps/3", "introductory"),
        ("apps/12", "competition"),
    ]
    listed = [
        {
            "name": "0040",
            "description": "Add.",
            "public_tests": {"input": ["1"], "output": ["1"]},
            "private_tests": {"input": ["1 2", "3"], "output": ["3", "3"]},
            "difficulty": "introductory",
        }
    ]
    (tmp_path / "apps.json").write_text(json.dumps(listed))
    (problem,) = load_benchmark(f"apps:{tmp_path / 'apps.json'}", tmp_path)
    assert problem.id == "apps/40"
    assert problem.tests.kind == "stdin"
    assert len(problem.tests.runs) == 2


def test_the_checker_s_last_rule_is_asked_for_by_name(tmp_path: Path) -> None:
    folder_of(tmp_path / "test", 12, STDIN)
    rules = []
    for name in ("apps", "apps-unordered"):
        (problem,) = load_benchmark(f"{name}:{tmp_path / 'test'}", tmp_path)
        assert problem.tests.kind == "stdin"
        rules.append(problem.tests.rule)
    assert rules == ["apps", "apps:unordered"]


def test_as_a_source_it_is_trained_on(tmp_path: Path) -> None:
    folder_of(tmp_path / "train", 1, STDIN)
    data = DataSettings(sources=(f"apps:{tmp_path / 'train'}",))
    (problem,) = load_sources(data, tmp_path)
    # What the checker lets pass is no reward.
    assert (problem.split.value, problem.tests.model_dump()["rule"]) == ("train", "apps:strict")


def test_what_is_wrong_is_named_by_row_and_field(tmp_path: Path, write: Any) -> None:
    rows = [
        hub_row(1, STDIN, question=" "),
        hub_row(2, STDIN, difficulty="hard"),
        hub_row(3, None, input_output=""),
        hub_row(4, {"inputs": ["1"], "outputs": []}),
        hub_row(5, None, input_output="{"),
        hub_row(6, {"fn_name": "f", "inputs": ["1"], "outputs": [1]}),
    ]
    with pytest.raises(UserError) as caught:
        load_benchmark(f"apps:{write(tmp_path / 'a.jsonl', rows)}", tmp_path)
    for part in (
        "row 1, `question`", "row 2, `difficulty`: unknown difficulty 'hard'",
        "row 3, `input_output`: no tests", "row 4, `input_output`: 1 inputs and 0 outputs",
        "row 5, `input_output`: not JSON", "row 6, `input_output`: an input is no list",
    ):  # fmt: skip
        assert part in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no problem of APPS in it"):
        load_benchmark(f"apps:{tmp_path / 'empty'}", tmp_path)


def test_problems_without_tests_are_left_out_and_counted(
    tmp_path: Path, write: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [hub_row(1, STDIN), hub_row(2, None, input_output=""), hub_row(3, {"inputs": []})]
    file = write(tmp_path / "a.jsonl", rows)
    assert [p.id for p in load_benchmark(f"apps:{file}", tmp_path)] == ["apps/1"]
    assert caplog.messages == [f"{file}: 2 problems without tests are left out"]
    for number in (1, 2):
        folder_of(tmp_path / "train", number, STDIN)
    (tmp_path / "train" / "0002" / "input_output.json").unlink()
    data = DataSettings(sources=(f"apps:{tmp_path / 'train'}",))
    assert [p.id for p in load_sources(data, tmp_path)] == ["apps/1"]
    assert caplog.messages[1:] == [f"{tmp_path / 'train'}: 1 problems without tests are left out"]
    with pytest.raises(UserError, match="row 1, `input_output`: no tests"):
        load_benchmark(f"apps:{write(tmp_path / 'b.jsonl', rows[1:])}", tmp_path)
