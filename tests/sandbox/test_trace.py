"""Traces: the lines that ran, by test, in every kind of suite."""

from __future__ import annotations

from cases import SUM, one

from falcon.sandbox import Outcome, Program, Sandbox, Verdict
from falcon.suite import Call, CallSuite, CodeSuite

CODE = """def sign(x):
    if x > 0:
        return 1
    if x == 0:
        return 0
    return -1
"""


def lines(verdict: Verdict) -> list[tuple[int, ...] | None]:
    return [case.lines for case in verdict.cases]


def test_each_test_has_the_lines_that_ran_for_it(sandbox: Sandbox) -> None:
    values = (5, 0, -5)
    want = [(1, 2, 3), (1, 2, 4, 5), (1, 2, 4, 6)]
    calls = CallSuite(
        entry_point="sign",
        calls=tuple(Call(args=(v,), expected=(v > 0) - (v < 0)) for v in values),
    )
    literal = CodeSuite(
        asserts=("assert sign(5) == 1", "assert sign(0) == 0", "assert sign(-5) == -1")
    )
    oracle = CodeSuite(
        entry_point="sign",
        check="def check(c):\n    want = 1\n    assert c(5) == want\n    assert c(0) == want - 1\n"
        "    assert c(-5) == -want\n",
    )
    for suite in (calls, literal, oracle):
        verdict = sandbox.judge(Program(CODE, suite, trace=True))
        assert verdict.passed
        assert lines(verdict) == want
        assert lines(sandbox.judge(Program(CODE, suite))) == [None] * 3
    loop = "def check(c):\n    for x in (5, 0, -5):\n        assert c(x) == (x > 0) - (x < 0)\n"
    looped = sandbox.judge(Program(CODE, CodeSuite(entry_point="sign", check=loop), trace=True))
    assert lines(looped) == [(1, 2, 3, 4, 5, 6)]


def test_whole_programs_and_threads_are_traced(sandbox: Sandbox) -> None:
    code = (
        "import threading\n"
        "def work():\n"
        "    a, b = map(int, input().split())\n"
        "    if a > b:\n"
        "        print('never')\n"
        "    print(a + b)\n"
        "t = threading.Thread(target=work)\n"
        "t.start()\n"
        "t.join()\n"
    )
    verdict = sandbox.judge(Program(code, SUM, trace=True))
    assert verdict.passed
    assert lines(verdict) == [(1, 2, 3, 4, 6, 7, 8, 9)] * 2


def test_an_exception_has_its_lines_and_a_death_has_none(sandbox: Sandbox) -> None:
    code = "import os\ndef f(x):\n    if x:\n        os._exit(0)\n    return 1 / 0\n"
    suite = CallSuite(entry_point="f", calls=(Call(args=(0,)), Call(args=(1,)), Call(args=(0,))))
    verdict = sandbox.judge(Program(code, suite, trace=True))
    assert lines(verdict) == [(1, 2, 3, 5), None, (1, 2, 3, 5)]
    broken = sandbox.judge(Program("x = 1\ny = z\n", one(1), trace=True))
    assert lines(broken) == [(1, 2)]


def test_a_program_can_neither_gain_nor_break_anything_by_its_trace(sandbox: Sandbox) -> None:
    switched_off = Program(
        "import sys\nsys.settrace(None)\n" + CODE, one(1, 5, entry="sign"), trace=True
    )
    assert sandbox.judge(switched_off).passed
    forged = (
        "import falcon_sandbox.confined.program_main as c\n"
        "c._write(c.CHANNEL, c.Reply.TRACE + bytes(8) + b'[1, -1, 9999, \"x\", [1]]')\n" + CODE
    )
    verdict = sandbox.judge(Program(forged, one(1, 5, entry="sign"), trace=True))
    assert verdict.passed
    assert all(1 <= n <= 8 for n in verdict.cases[0].lines or ())
    unasked = sandbox.judge(Program(forged, one(1, 5, entry="sign")))
    assert unasked.outcome is Outcome.PROTOCOL_VIOLATION


def test_slow_tracing_does_not_turn_a_pass_into_a_timeout(sandbox: Sandbox) -> None:
    code = "def f(n):\n    s = 0\n    for i in range(n):\n        s += i\n    return s\n"
    suite = one(sum(range(2_000_000)), 2_000_000)
    assert sandbox.judge(Program(code, suite)).passed
    assert sandbox.judge(Program(code, suite, trace=True)).passed
