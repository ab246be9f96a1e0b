"""Equations 7, 8 and 9 and the composite against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from falcon.config import FeedbackSettings
from falcon.feedback import (
    Feedback,
    Reward,
    Span,
    adaptive_reward,
    adaptive_value,
    coarse_reward,
    composite,
    negative_reward,
    negative_sum,
    paper_sum,
    unit_test_value,
    whole_span,
)
from falcon.sandbox.verdict import CaseResult, ErrorInfo, Outcome, Verdict

PROGRAM = "def f(x):\n    y = x[9]\n    return y\n"


def judged(outcome: Outcome, passed: int = 0, failed: int = 0, line: int = 0) -> Verdict:
    cases = [CaseResult(outcome=Outcome.PASS)] * passed + [CaseResult(outcome=outcome)] * failed
    error = ErrorInfo(type="IndexError", line=line, message="out of range") if line else None
    return Verdict(outcome=outcome, cases=tuple(cases), error=error)


@pytest.mark.parametrize(
    ("outcome", "value"),
    [
        (Outcome.PASS, 1.0),
        (Outcome.WRONG_ANSWER, -0.3),
        (Outcome.UNSERIALISABLE, -0.3),
        (Outcome.RUNTIME_ERROR, -0.6),
        (Outcome.TIMEOUT, -0.6),
        (Outcome.SYNTAX_ERROR, -1.0),
    ],
)
def test_eq_7(outcome: Outcome, value: float) -> None:
    reward = coarse_reward(judged(outcome, 1, 1), PROGRAM, "add")
    assert (reward.term, reward.value) == ("coarse", value)
    assert reward.span == whole_span(PROGRAM)
    assert str(value) in reward.reason


@pytest.mark.parametrize(
    ("passed", "failed", "value"), [(0, 4, -0.3), (1, 3, 0.025), (2, 2, 0.35), (4, 0, 1.0)]
)
def test_eq_8(passed: int, failed: int, value: float) -> None:
    assert adaptive_value(passed, failed) == pytest.approx(value)
    outcome = Outcome.WRONG_ANSWER if failed else Outcome.PASS
    reward = adaptive_reward(judged(outcome, passed, failed), PROGRAM)
    assert reward.term == "error"
    assert reward.value == pytest.approx(value)
    assert reward.span == whole_span(PROGRAM)
    assert f"{passed} of {passed + failed} tests" in reward.reason


def test_eq_8_needs_tests_and_a_program_that_finished() -> None:
    with pytest.raises(ValueError, match="no share"):
        adaptive_value(0, 0)
    for outcome in (Outcome.RUNTIME_ERROR, Outcome.SYNTAX_ERROR, Outcome.TIMEOUT):
        assert adaptive_reward(judged(outcome, 3, 1), PROGRAM).span is None


@pytest.mark.parametrize(("outcome", "value"), [(Outcome.PASS, 1.0), (Outcome.WRONG_ANSWER, -0.3)])
def test_eq_8_without_single_tests(outcome: Outcome, value: float) -> None:
    assert adaptive_reward(Verdict(outcome=outcome), PROGRAM).value == pytest.approx(value)


def test_replace_leaves_exactly_one_of_coarse_and_error() -> None:
    for outcome in (o for o in Outcome if o is not Outcome.SANDBOX_ERROR):
        verdict = judged(outcome, 1, 1)
        coarse = coarse_reward(verdict, PROGRAM, "replace")
        error = adaptive_reward(verdict, PROGRAM)
        assert (coarse.span is None) != (error.span is None), outcome


def test_eq_9_sum() -> None:
    n = {"index": 0.5, "name": 0.25, "wrong-answer": 0.25}
    p = {"index": 0.4, "name": 0.2, "syntax": 0.4}
    assert negative_sum(n, p) == pytest.approx(-(0.5 * 0.4 + 0.25 * 0.2))
    assert negative_sum({}, p) == 0.0
    assert math.copysign(1, negative_sum({}, {})) == 1


def test_eq_9_summand_lies_on_the_error_line() -> None:
    verdict = judged(Outcome.RUNTIME_ERROR, 0, 1, line=2)
    reward = negative_reward(verdict, PROGRAM, {"index": 3}, {"index": 0.2})
    assert reward.value == pytest.approx(-0.6)
    assert reward.span is not None
    assert PROGRAM[reward.span.start : reward.span.end] == "    y = x[9]"
    assert "line 2" in reward.reason
    assert "3 * 0.2" in reward.reason


def test_eq_9_whole_and_ignored() -> None:
    n = {"timeout": 0.5, "wrong-answer": 0.5}
    p = {"timeout": 0.1, "wrong-answer": 0.3}
    timeout = negative_reward(judged(Outcome.TIMEOUT), PROGRAM, n, p)
    assert timeout.span == whole_span(PROGRAM)
    wrong = negative_reward(judged(Outcome.WRONG_ANSWER), PROGRAM, n, p)
    assert wrong.span is None
    assert wrong.value == pytest.approx(-0.15)
    passed = negative_reward(judged(Outcome.PASS), PROGRAM, n, p)
    assert (passed.value, passed.span) == (0.0, None)


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_eq_9_refuses_what_is_no_count(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        negative_sum({"name": bad}, {"name": 0.5})
    with pytest.raises(ValueError, match="finite"):
        negative_reward(judged(Outcome.TIMEOUT), PROGRAM, {"timeout": 1}, {"timeout": bad})


def test_a_sandbox_fault_has_no_reward() -> None:
    fault = Verdict(outcome=Outcome.SANDBOX_ERROR)
    for attempt in (
        lambda: coarse_reward(fault, PROGRAM),
        lambda: adaptive_reward(fault, PROGRAM),
        lambda: negative_reward(fault, PROGRAM, {}, {}),
    ):
        with pytest.raises(ValueError, match="sandbox"):
            attempt()


def feedback(span: Span | None) -> Feedback:
    rows = (
        ("coarse", -0.3, None),
        ("error", 0.35, span),
        ("style", 1.5, span),
        ("complexity", 2.0, span),
        ("negative", -0.2, None),
    )
    return Feedback(rewards=tuple(Reward(term=t, value=v, span=s, reason="") for t, v, s in rows))


def test_composite_by_hand() -> None:
    settings = FeedbackSettings(alpha=2, beta=0.5, gamma=0.25, delta=3)
    given = feedback(Span(start=0, end=1))
    assert unit_test_value(given) == pytest.approx(0.35)
    total = 0.7 + 0.75 + 0.5 - 0.6
    assert paper_sum(given, settings) == pytest.approx(total)
    assert paper_sum(Feedback(), settings) == 0.0
    part = total / (1 + total)
    for outcome, score in (
        (Outcome.PASS, 3 + part),
        (Outcome.WRONG_ANSWER, part),
        (Outcome.PROTOCOL_VIOLATION, part - 3),
    ):
        assert composite(judged(outcome), given, settings) == pytest.approx(score)


def test_composite_refuses_an_infinite_weight() -> None:
    with pytest.raises(ValueError, match="not finite"):
        paper_sum(feedback(Span(start=0, end=1)), FeedbackSettings(beta=math.inf))
