"""LeetCodeDataset: classes with a method, a prelude, and lists of nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from limits_for_problems import small

from falcon.config import DataSettings
from falcon.errors import UserError
from falcon.problems import load_benchmark, load_sources
from falcon.sandbox import Program, Sandbox


def row(name: str = "double-it", **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "task_id": name,
        "question_id": "1",
        "difficulty": "Medium",
        "tags": [],
        "problem_description": f"Double every number ({name}).",
        "starter_code": "class Solution:\n    def double(self, xs: List[int]) -> List[int]:\n        ",
        "prompt": "from typing import *\nfrom math import *\n",
        "completion": "class Solution:\n    def double(self, xs: List[int]) -> List[int]:\n"
        "        return [floor(2.0 * x) for x in xs]",
        "entry_point": "Solution().double",
        "test": "def check(candidate):\n    assert candidate(xs = [1, 2]) == [2, 4]\n"
        "    assert candidate(xs = []) == []\n",
    }
    return made | changes


def test_a_class_is_judged_after_the_row_s_imports(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path / "l.jsonl", [row()])
    (problem,) = load_benchmark(f"leetcode:{path}", tmp_path)
    assert (problem.id, problem.difficulty.value) == ("leetcode/double-it", "interview")
    wrong = problem.solutions[0].replace("2.0", "3.0")
    with Sandbox(small()) as sandbox:
        right, other = sandbox.judge_all(
            [Program(code, problem.tests) for code in (problem.solutions[0], wrong)]
        )
    assert right.passed
    assert [case.outcome.value for case in other.cases] == ["wrong_answer", "pass"]
    data = DataSettings(sources=(f"leetcode:{path}",))
    assert [p.split.value for p in load_sources(data, tmp_path)] == ["train"]


def test_rows_of_older_versions_are_read(tmp_path: Path, write: Any) -> None:
    old = row()
    for name in ("difficulty", "problem_description", "starter_code", "question_id", "tags"):
        del old[name]
    old |= {"query": "Double them.", "meta": {"difficulty": "Hard", "lang_code": "class Solution:"}}
    (problem,) = load_benchmark(f"leetcode:{write(tmp_path / 'o.jsonl', [old])}", tmp_path)
    assert (problem.statement, problem.starter) == ("Double them.", "class Solution:")
    assert problem.difficulty.value == "competition"


def test_names_of_the_prompt_may_be_used_by_the_tests(tmp_path: Path, write: Any) -> None:
    tests = "def check(candidate):\n    assert candidate(xs = [-inf]) == [-inf]\n"
    made = row(
        prompt="from math import *\nfrom typing import *\ninf = float('inf')\n",
        test=tests,
        completion="class Solution:\n    def double(self, xs: List[int]):\n        return [2 * x for x in xs]",
    )
    (problem,) = load_benchmark(f"leetcode:{write(tmp_path / 'l.jsonl', [made])}", tmp_path)
    with Sandbox(small()) as sandbox:
        assert sandbox.judge(Program(problem.solutions[0], problem.tests)).passed


LISTS = """
class ListNode:
    def __init__(self, val=0, next=None):
        self.val, self.next = val, next
def list_node(values):
    return ListNode(values[0], list_node(values[1:])) if values else None
def is_same_list(p, q):
    while p and q:
        if p.val != q.val:
            return False
        p, q = p.next, q.next
    return not p and not q
"""
REVERSED = """class Solution:
    def double(self, head):
        last = None
        while head:
            head.next, last, head = last, head, head.next
        return last"""
COPIED = REVERSED.replace(
    "head.next, last, head = last, head, head.next",
    "last, head = ListNode(head.val, last), head.next",
)


def test_tests_on_linked_lists_are_judged(tmp_path: Path, write: Any) -> None:
    tests = "def check(candidate):\n    assert is_same_list(candidate(list_node([1, 2])), list_node([2, 1]))"
    made = row(prompt=LISTS, test=tests, completion=REVERSED)
    (problem,) = load_benchmark(f"leetcode:{write(tmp_path / 'l.jsonl', [made])}", tmp_path)
    liar = "class ListNode: pass\ndef is_same_list(p, q): return True\n"
    wrong = REVERSED.replace("return last", "return None")
    equal = "class A:\n    def __eq__(s, o): return True\n    def __getattr__(s, n): return s\n"
    unlike = REVERSED.replace("return last", "return A()")
    with Sandbox(small()) as sandbox:
        programs = (REVERSED, COPIED, wrong, liar + wrong, equal + unlike)
        verdicts = sandbox.judge_all([Program(code, problem.tests) for code in programs])
    assert [verdict.passed for verdict in verdicts] == [True, True, False, False, False]


def test_faults_are_named(tmp_path: Path, write: Any) -> None:
    rows = [row(difficulty="Odd"), row("b", entry_point="double"), row("c", completion="def f(")]
    with pytest.raises(UserError) as caught:
        load_benchmark(f"leetcode:{write(tmp_path / 'x.jsonl', rows)}", tmp_path)
    for part in ("row 1, `difficulty`", "row 2, `entry_point`", "row 3, `completion`"):
        assert part in str(caught.value)
