"""What no weight, style or share of tests may turn round: passed, failed, attacked the judge."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from falcon.config import FeedbackSettings
from falcon.feedback import (
    ERROR_TYPES,
    TERMS,
    Feedback,
    QualityScores,
    Reward,
    StaticJudge,
    assess_group,
    composite,
    fine_reward,
    paper_sum,
    ranked,
    unit_test_value,
)
from falcon.sandbox.verdict import CaseResult, ErrorInfo, Outcome, Verdict

PROGRAM = "def f(x):\n    return x / 0\n"
_SEVERITY = list(Outcome)
_JUDGED = [outcome for outcome in Outcome if outcome is not Outcome.SANDBOX_ERROR]
_HONEST = [outcome for outcome in _JUDGED if outcome is not Outcome.PROTOCOL_VIOLATION]


def verdict_of(outcomes: list[Outcome], line: int = 0) -> Verdict:
    """As the worker makes it: the worst case is the outcome."""
    error = ErrorInfo(type="ZeroDivisionError", line=line, message="division by zero")
    cases = tuple(CaseResult(outcome=outcome) for outcome in outcomes)
    return Verdict(outcome=max(outcomes, key=_SEVERITY.index), cases=cases, error=error)


def verdicts(outcomes: list[Outcome], needed: Outcome | None = None) -> st.SearchStrategy[Verdict]:
    """Any number of tests with these outcomes; one of them is ``needed``."""
    endings = st.lists(st.sampled_from(outcomes), min_size=needed is None, max_size=40)
    if needed is not None:
        endings = st.tuples(endings, st.just(needed)).map(lambda two: [*two[0], two[1]])
    return st.builds(verdict_of, endings, st.integers(0, 2))


TAMPERING = verdicts(list(Outcome), Outcome.PROTOCOL_VIOLATION)
SHARES = st.dictionaries(st.sampled_from(ERROR_TYPES), st.floats(0, 100), max_size=5)


class Lenient(StaticJudge):
    """Gives every program the highest marks."""

    def score(self, program: str, reference: str = "") -> QualityScores:
        return QualityScores(2.0, 2.0)


@given(TAMPERING, verdicts(_HONEST), SHARES, st.sampled_from(["replace", "add"]))
def test_tampering_earns_the_least_in_every_term(
    bad: Verdict, honest: Verdict, share: dict[str, float], adaptive: str
) -> None:
    settings = FeedbackSettings.model_validate({"adaptive": adaptive, "negative_counts": "raw"})
    assert bad.tampered
    assert not honest.tampered
    low, other = assess_group(
        [PROGRAM] * 2, [bad, honest], settings=settings, judge=Lenient(), error_share=share
    )
    for term in TERMS:
        lowest, value = low.value(term), other.value(term)
        assert lowest is not None
        assert value is not None
        assert lowest <= value, term
    assert unit_test_value(low) == -1.0 <= unit_test_value(other)
    assert paper_sum(low, settings) <= paper_sum(other, settings)
    assert composite(bad, low, settings) < composite(honest, other, settings)
    assert fine_reward(bad, PROGRAM).value <= fine_reward(honest, PROGRAM).value
    spans = [reward.span for reward in low.rewards if reward.span is not None]
    assert len(spans) == len(TERMS) - 1  # all but the error term, which the coarse one stands for
    assert all(span.whole for span in spans)
    assert "protocol_violation" in low.tripwires


def test_tampering_is_what_a_program_is_judged_by_whatever_else_happened() -> None:
    assert max(Outcome, key=_SEVERITY.index) is Outcome.PROTOCOL_VIOLATION


FINITE = st.floats(-1e300, 1e300)
SMALL = st.floats(-10, 10)


@st.composite
def feedbacks(draw: st.DrawFn) -> Feedback:
    values = {term: draw(st.none() | SMALL) for term in TERMS}
    return Feedback(
        rewards=tuple(
            Reward(term=term, value=value, span=None, reason="")
            for term, value in values.items()
            if value is not None
        )
    )


@given(
    verdicts([Outcome.PASS]),
    verdicts(list(Outcome), Outcome.WRONG_ANSWER),
    feedbacks(),
    feedbacks(),
    st.tuples(*[st.floats(-1e290, 1e290)] * 4),
)
def test_no_weights_rank_a_wrong_program_above_a_right_one(
    right: Verdict,
    wrong: Verdict,
    plain: Feedback,
    tidy: Feedback,
    weights: tuple[float, float, float, float],
) -> None:
    alpha, beta, gamma, delta = weights
    settings = FeedbackSettings(alpha=alpha, beta=beta, gamma=gamma, delta=delta)
    assert composite(wrong, tidy, settings) < composite(right, plain, settings)


@given(FINITE, FINITE)
@example(-6004799503160661.0, -9007199254740994.0)
def test_the_sum_orders_programs_that_did_the_same_with_their_tests(a: float, b: float) -> None:
    low, high = sorted((a, b))
    for passed, tampered in ((True, False), (False, False), (False, True)):
        scores = [ranked(total, passed=passed, tampered=tampered) for total in (low, high)]
        assert scores[0] <= scores[1]
    if high - low > 1e-3 and max(abs(low), abs(high)) < 1e3:
        assert ranked(low, passed=True, tampered=False) < ranked(high, passed=True, tampered=False)


def test_a_tidy_wrong_program_and_a_plain_right_one() -> None:
    """The sum alone would order these two the other way."""
    settings = FeedbackSettings()
    right, wrong = Verdict(outcome=Outcome.PASS), Verdict(outcome=Outcome.WRONG_ANSWER)
    programs = [
        'def f(x):\n    """Twice x."""\n    return x + x\n',
        "def f(L):\n  l=0;import os\n  for i in range(len(L)): l+=L[i];print\n  return l\n",
    ]
    tidy, plain = assess_group(
        programs, [wrong, right], settings=settings, judge=StaticJudge(), error_share={}
    )
    assert paper_sum(tidy, settings) > paper_sum(plain, settings)
    assert composite(wrong, tidy, settings) < composite(right, plain, settings)
    assert composite(right, plain, settings) == pytest.approx(3, abs=1)
