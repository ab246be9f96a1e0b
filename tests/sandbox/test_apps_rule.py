"""The comparison rules of APPS's checker, in their order, and its prelude."""

from __future__ import annotations

import pytest

from falcon.sandbox import Outcome, Program, Sandbox
from falcon.sandbox.worker.compare.apps import same_output, same_value
from falcon.suite import Call, CallSuite, Run, StdinSuite


@pytest.mark.parametrize(
    ("expected", "got", "ordered", "unordered"),
    [
        ("3\n", "3", True, True),  # the whole, stripped
        ("1 2\n3\n", "  1 2 \n 3 \n\n", True, True),  # line by line, stripped
        ("1\n\n2\n", "1\n2\n", True, True),  # empty lines do not count
        ("0.5\n2\n", "0.500001\n2.0\n", True, True),  # lines that are numbers, nearly equal
        ("0.5\n", "0.51\n", False, False),
        ("1.0 2.0\n", "1.0  2.0\n", False, True),  # blanks within a line do
        ("1 2\n", "2 1\n", False, True),  # sets of tokens: the last rule
        ("1\n2\n", "2\n1\n", False, True),
        ("1 1 2\n", "1 2 2\n", False, True),
        ("0.1234 5\n", "5 0.12341\n", False, True),  # the same, rounded to three digits
        ("0.123 5\n", "5 0.125\n", False, False),
        ("1\n2\n", "1\n", False, False),
        ("yes\n", "YES\n", False, False),
        ("inf\n", "inf\n", True, True),
        ("inf\n", "1\n", False, False),
        ("a\n", "", False, False),
    ],
)
def test_printed_text(expected: str, got: str, ordered: bool, unordered: bool) -> None:
    assert same_output(expected, got, unordered=False) is ordered
    assert same_output(expected, got, unordered=True) is unordered


@pytest.mark.parametrize(
    ("expected", "got", "right"),
    [
        (9, 9, True),
        ([9], 9, True),  # the first of what is expected
        ([True], True, True),
        ([1, 2], (1, 2), True),  # tuples are lists
        ([[1, 2]], (1, 2), True),
        ([[[1, 2], [3]]], [(1, 2), (3,)], True),
        ({1: 2}, {"1": 2}, True),  # keys are numbers
        ([], [], True),
        ([9], 8, False),
        ("ab", "a", False),
        ([1, 2], 2, False),
        (1, None, False),
    ],
)
def test_returned_values(expected: object, got: object, right: bool) -> None:
    assert same_value(expected, got) is right


def test_the_sandbox_compares_by_the_rule_of_the_suite(sandbox: Sandbox) -> None:
    swapped = Program("print('2 1')", StdinSuite(runs=(Run(expected="1 2\n"),)))
    assert sandbox.judge(swapped).outcome is Outcome.WRONG_ANSWER
    for rule, passed in (("lines", False), ("apps", False), ("apps:unordered", True)):
        suite = StdinSuite.model_validate({"runs": [{"expected": "1 2\n"}], "rule": rule})
        assert sandbox.judge(Program("print('2 1')", suite)).passed is passed
    calls = (Call(args=(2,), expected=[4]), Call(args=(3,), expected=[6]))
    suite = CallSuite(entry_point="double", calls=calls, rule="apps")
    for code in (
        "def double(x):\n    return 2 * x",
        "class Solution:\n    def double(self, x):\n        return 2 * x",
        "class Solution:\n    def double(self, x):\n        return 2 * x\ndef double(x): return 0",
    ):
        assert sandbox.judge(Program(code, suite)).passed, code
    missing = sandbox.judge(Program("def other(x):\n    return 1", suite))
    assert missing.error is not None
    assert missing.error.type == "NameError"


def test_a_prelude_is_there_and_moves_no_line(sandbox: Sandbox) -> None:
    prelude = "import math\nfrom collections import Counter\n"
    calls = CallSuite(entry_point="f", calls=(Call(args=("aab",), expected=2),), prelude=prelude)
    assert sandbox.judge(Program("def f(s):\n    return Counter(s)['a']", calls)).passed
    runs = StdinSuite(runs=(Run(stdin="16", expected="4.0"),), prelude=prelude)
    assert sandbox.judge(Program("print(math.sqrt(int(input())))", runs)).passed
    failed = sandbox.judge(Program("x = 1\ny = math.sqrt(-1)\n", runs))
    assert failed.error is not None
    assert (failed.error.type, failed.error.line) == ("ValueError", 2)
    traced = sandbox.judge(Program("def f(s):\n    return Counter(s)['a']", calls, trace=True))
    assert traced.cases[0].lines == (1, 2)
    failing = calls.model_copy(update={"prelude": "import nothing_like_it"})
    forged = (
        "import falcon_sandbox.confined.program_main as c, sys\n"
        "f = sys._getframe()\n"
        "while f.f_code.co_name != 'main': f = f.f_back\n"
        "c._answer(c.Reply.PRELUDE_FAILED, f.f_locals['nonce'], b'{}')\n"
        "def f(s): return 0\n"
    )
    ours, theirs = sandbox.judge_all(
        [Program("def f(s): return 2", failing), Program(forged, calls)]
    )
    assert ours.outcome is Outcome.SANDBOX_ERROR
    assert "prelude" in ours.detail
    assert "ModuleNotFoundError" in ours.detail
    assert theirs.outcome not in (Outcome.SANDBOX_ERROR, Outcome.PASS)
    broken = calls.model_copy(update={"prelude": "import ("})
    verdict = sandbox.judge(Program("def f(s):\n    return 2", broken))
    assert verdict.outcome is Outcome.SANDBOX_ERROR
    assert "prelude" in verdict.detail
