"""Suites with inputs and a reference, compared as EvalPlus compares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falcon.sandbox import Outcome, Program, Sandbox
from falcon.sandbox.worker.compare.evalplus import _close, same
from falcon.suite import Call, CallSuite, Rule


def suite(
    reference: str, *inputs: tuple[object, ...], rule: Rule = "evalplus", atol: float = 0.0
) -> CallSuite:
    calls = tuple(Call(args=args) for args in inputs)
    return CallSuite(entry_point="f", calls=calls, rule=rule, reference=reference, atol=atol)


def outcomes(sandbox: Sandbox, code: str, tests: CallSuite) -> list[str]:
    return [case.outcome.value for case in sandbox.judge(Program(code, tests)).cases]


def test_the_reference_says_what_is_right(sandbox: Sandbox) -> None:
    tests = suite("def f(x):\n    return [x, x * x]", (1,), (3,), (-4,))
    assert outcomes(sandbox, "def f(x):\n    return [x, x ** 2]", tests) == ["pass"] * 3
    # A list is not a tuple here, whatever FALCON's own rule says.
    assert outcomes(sandbox, "def f(x):\n    return (x, x ** 2)", tests) == ["wrong_answer"] * 3
    assert outcomes(sandbox, "def f(x):\n    return [x, abs(x) * 3]", tests) == [
        "wrong_answer",
        "pass",
        "wrong_answer",
    ]


def test_inputs_may_be_what_json_cannot_hold(sandbox: Sandbox) -> None:
    tests = suite("def f(x, y):\n    return x[0] in y", ((1, 2), {1}), ((2,), {1, 3}))
    assert (
        outcomes(sandbox, "def f(x, y):\n    return type(x) is tuple and bool({x[0]} & y)", tests)
        == ["pass"] * 2
    )


def test_a_reference_that_fails_is_our_fault_and_named(sandbox: Sandbox) -> None:
    for reference, said in (
        ("def f(x):\n    return 1 / x", "runtime_error (ZeroDivisionError) on input 2"),
        ("def f(x", "does not compile"),
    ):
        verdict = sandbox.judge(Program("def f(x):\n    return 1", suite(reference, (1,), (0,))))
        assert verdict.outcome is Outcome.SANDBOX_ERROR
        assert said in verdict.detail


def test_presence_is_all_that_counts_where_the_value_cannot_cross(sandbox: Sandbox) -> None:
    tests = suite(
        "import re\ndef f(x):\n    return re.match('a', x)",
        ("ab",),
        ("b",),
        rule="evalplus:not-none",
    )
    for right in ("return 'found' if x[0] == 'a' else None", "return x.startswith('a')"):
        assert outcomes(sandbox, f"def f(x):\n    {right}", tests) == ["pass"] * 2
    assert outcomes(sandbox, "def f(x):\n    return 'found'", tests) == ["pass", "wrong_answer"]
    assert outcomes(sandbox, "def f(x):\n    return None", tests) == ["wrong_answer", "pass"]


@pytest.mark.parametrize(
    ("rule", "expected", "got", "arguments", "atol", "right"),
    [
        ("evalplus", 0.1 + 0.2, 0.3, [], 0.0, True),
        ("evalplus", 0.3, 0.301, [], 0.0, False),
        ("evalplus", 0.3, 0.3001, [], 1e-3, True),
        ("evalplus", 1.0, 1, [], 0.0, True),
        ("evalplus", 2.0, 2.0000001, [], 0.0, True),
        ("evalplus", [0.1 + 0.2, 1.0], [0.3, 1.0], [], 0.0, True),
        ("evalplus", [0.1 + 0.2, 1.0], (0.3, 1.0), [], 0.0, False),
        ("evalplus", [0.1 + 0.2], [0.3, 1.0], [], 0.0, False),
        ("evalplus", [1, 2], [1, 2], [], 0.0, True),
        ("evalplus", float("nan"), float("nan"), [], 0.0, False),
        ("evalplus", 5, True, [], 1e-4, False),
        ("evalplus:any", 1, None, [], 0.0, True),
        ("evalplus:zero", 7, 0, [], 0.0, True),
        ("evalplus:zero", 7, 1, [], 0.0, False),
        ("evalplus:set", (1, 2), [2, 1, 1], [], 0.0, True),
        ("evalplus:set", (1, 2), [[2], 1], [], 0.0, False),
        ("evalplus:pyramid", 0, 35, [3, 4], 0.0, True),
        ("evalplus:pyramid", 0, 34, [3, 4], 0.0, False),
        ("evalplus:digits", 0, 1, [1, 2], 0.0, True),
        ("evalplus:digits", 0, 7, [23, 56], 0.0, False),
        ("evalplus:digits", 0, 7, [123, 256], 0.0, True),
        ("evalplus:root", None, 2.0, [[-4, 0, 1]], 1e-4, True),
        ("evalplus:root", None, 2.1, [[-4, 0, 1]], 1e-4, False),
        ("evalplus:root", None, "x", [[-4, 0, 1]], 1e-4, False),
    ],
)
def test_the_exceptions_for_single_tasks(
    rule: str, expected: object, got: object, arguments: list[object], atol: float, right: bool
) -> None:
    assert same(rule, expected, got, arguments, atol) is right


NUMBERS = st.floats(-1e6, 1e6) | st.integers(-100, 100)
PAIRS = st.lists(st.tuples(NUMBERS, st.sampled_from([0.0, 1e-9, 1e-6, 1e-3])), max_size=5)


@given(PAIRS, st.sampled_from([1e-6, 1e-4]))
@settings(deadline=None)
def test_closeness_is_numpy_s(pairs: list[tuple[float, float]], atol: float) -> None:
    expected = [x for x, _ in pairs]
    got = [x + d for x, d in pairs]
    assert _close(got, expected, atol) == bool(np.allclose(got, expected, rtol=1e-7, atol=atol))
