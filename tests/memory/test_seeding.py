from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from falcon.config import FeedbackSettings
from falcon.errors import UserError
from falcon.feedback.reward import Feedback, Reward
from falcon.memory import LongTermMemory, demonstrations
from falcon.problems.problem import Difficulty, Problem, Split
from falcon.sandbox.verdict import CaseResult, ErrorInfo, Outcome, Verdict
from falcon.suite import Call, CallSuite, Suite


def judge(program: str, suite: Suite) -> Verdict:
    """Run a trusted program here and compare what it returns."""
    assert isinstance(suite, CallSuite)
    scope: dict[str, Any] = {}
    cases: list[CaseResult] = []
    try:
        exec(compile(program, "<program>", "exec"), scope)
    except SyntaxError as fault:
        error = ErrorInfo(type="SyntaxError", line=fault.lineno or 0, message=str(fault.msg))
        return Verdict(outcome=Outcome.SYNTAX_ERROR, error=error)
    for call in suite.calls:
        try:
            right = scope[suite.entry_point](*call.args) == call.expected
            cases.append(CaseResult(outcome=Outcome.PASS if right else Outcome.WRONG_ANSWER))
        except Exception as fault:  # noqa: BLE001 - whatever a program raises is its verdict
            error = ErrorInfo(type=type(fault).__name__, message=str(fault))
            cases.append(CaseResult(outcome=Outcome.RUNTIME_ERROR, error=error))
    worst = next((c for c in cases if c.outcome is not Outcome.PASS), cases[0])
    return Verdict(outcome=worst.outcome, error=worst.error, cases=tuple(cases))


def judge_all(programs: list[tuple[str, Suite]]) -> list[Verdict]:
    return [judge(program, suite) for program, suite in programs]


def feedback(problem: Problem, programs: list[str], verdicts: list[Verdict]) -> list[Feedback]:
    kinds = {Outcome.SYNTAX_ERROR: "syntax", Outcome.WRONG_ANSWER: "wrong-answer"}
    return [
        Feedback(
            rewards=(Reward(term="coarse", value=1 if v.passed else -1, span=None, reason=""),),
            error_type="" if v.passed else kinds.get(v.outcome, "other-runtime"),
        )
        for v in verdicts
    ]


def problem(number: int, split: Split = Split.TRAIN, solution: str | None = None) -> Problem:
    body = f"def shift(x):\n    if x > 100:\n        return 0\n    return x + {number}\n"
    calls = tuple(Call(args=(x,), expected=0 if x > 100 else x + number) for x in (0, 5, 101))
    return Problem(
        id=f"builtin/shift-{number}",
        source="builtin",
        split=split,
        difficulty=Difficulty.INTRODUCTORY,
        statement=f"Add {number} unless x is above 100.",
        tests=CallSuite(entry_point="shift", calls=calls),
        solutions=(body if solution is None else solution,),
    )


def pool() -> list[Problem]:
    splits = [Split.TRAIN, Split.DEMO, Split.TEST, Split.VALID, Split.TRAIN, Split.DEMO]
    return [problem(n, split) for n, split in enumerate(splits)]


def seed(problems: list[Problem], n: int, number: int = 0):
    rng = np.random.default_rng(number)
    return demonstrations(problems, judge_all, feedback, n=n, rng=rng, settings=FeedbackSettings())


def test_each_problem_gives_a_passing_and_a_really_failing_program() -> None:
    made = seed(pool(), 4)
    assert len(made) == 8
    by_id = {p.id: p for p in pool()}
    for reference, variant in zip(made[::2], made[1::2], strict=True):
        assert reference.problem_id == variant.problem_id
        tests = by_id[reference.problem_id].tests
        assert reference.verdict == judge(reference.program, tests)
        assert variant.verdict == judge(variant.program, tests)
        assert reference.verdict.passed
        assert not variant.verdict.passed
        assert (reference.score, variant.score) == (3, 0)
        assert variant.feedback.error_type
        assert (reference.origin.policy, variant.origin.policy) == ("reference", "corrupted")


def test_demo_comes_first_and_held_out_never(folder, encoder) -> None:
    assert {e.split for e in seed(pool(), 2)} == {Split.DEMO}
    made = seed(pool(), 100)
    assert [e.split for e in made[::2]] == [Split.DEMO] * 2 + [Split.TRAIN] * 2
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        assert memory.append(made) == len(made)


def test_the_generator_decides_and_the_order_given_does_not() -> None:
    assert seed(pool(), 3) == seed(pool()[::-1], 3)
    ids = {tuple(e.problem_id for e in seed(pool(), 3, number)) for number in range(8)}
    assert len(ids) > 1


def test_a_reference_that_fails_is_named() -> None:
    bad = problem(8, solution="def shift(x):\n    return x\n")
    with pytest.raises(UserError, match=r"builtin/shift-8: the reference .* wrong_answer"):
        seed([problem(1), bad], 9)


def test_variants_that_pass_are_tried_again_and_then_left_out() -> None:
    rounds: list[int] = []

    def lenient(programs: list[tuple[str, Suite]]) -> list[Verdict]:
        """Nothing fails before the fourth round, and programs of shift-2 never."""
        rounds.append(len(programs))
        real = judge_all(programs)
        passing = Verdict(outcome=Outcome.PASS)
        fault = Verdict(outcome=Outcome.SANDBOX_ERROR)
        late = len(rounds) >= 4
        return [
            v if v.passed or (late and "2" not in p) else (fault if late else passing)
            for v, (p, _) in zip(real, programs, strict=True)
        ]

    two = problem(2, solution="def shift(x):\n    # 2\n    return 0 if x > 100 else x + 2\n")
    made = demonstrations(
        [problem(7), two],
        lenient,
        feedback,
        n=2,
        rng=np.random.default_rng(0),
        settings=FeedbackSettings(),
    )
    of_two = [e for e in made if e.problem_id == two.id]
    of_seven = [e for e in made if e.problem_id == "builtin/shift-7"]
    assert [e.verdict.passed for e in of_two] == [True]
    assert [e.verdict.passed for e in of_seven] == [True, False]
    assert len(rounds) > 4


def test_nothing_to_demonstrate_is_a_user_error() -> None:
    with pytest.raises(UserError, match="No problem of the demo or train split"):
        seed([problem(1, Split.TEST)], 3)
