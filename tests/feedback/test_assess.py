"""Assessment of all samples of one task."""

from __future__ import annotations

import pytest
from judge_pairs import GOOD_SUM

from falcon.config import FeedbackSettings
from falcon.feedback import TERMS, StaticJudge, assess_group, error_counts
from falcon.sandbox.verdict import CaseResult, ErrorInfo, Outcome, Verdict

PASSED = CaseResult(outcome=Outcome.PASS)
FAILED = CaseResult(outcome=Outcome.WRONG_ANSWER)
KEY = ErrorInfo(type="KeyError", line=2, message="'a'")
PROGRAMS = [
    GOOD_SUM,
    GOOD_SUM.replace(">", "<"),
    "d = {}\nprint(d['a'])\n",
    "d = {}\nprint(d['a'], 1)\n",
    "x = f(1)\n",
]
VERDICTS = [
    Verdict(outcome=Outcome.PASS, cases=(PASSED,) * 4),
    Verdict(outcome=Outcome.WRONG_ANSWER, cases=(PASSED, FAILED, FAILED, FAILED)),
    Verdict(outcome=Outcome.RUNTIME_ERROR, error=KEY),
    Verdict(outcome=Outcome.RUNTIME_ERROR, error=KEY),
    Verdict(outcome=Outcome.SANDBOX_ERROR, detail="no zygote"),
]
SHARE = {"key": 0.25, "wrong-answer": 0.5}


def assessed(**settings: str) -> list:
    return assess_group(
        PROGRAMS,
        VERDICTS,
        settings=FeedbackSettings.model_validate(settings),
        judge=StaticJudge(),
        error_share=SHARE,
        references=(GOOD_SUM,),
    )


def test_each_sample_has_every_term_and_faults_have_none() -> None:
    results = assessed()
    for feedback in results[:4]:
        assert tuple(reward.term for reward in feedback.rewards) == TERMS
        assert all(reward.reason for reward in feedback.rewards)
    assert results[4].rewards == ()
    assert (results[4].error_type, results[4].error_message) == ("", "no zygote")


def test_errors_are_counted_over_the_group_without_faults() -> None:
    results = assessed()
    # Two of four judged samples ended in a KeyError: -(2/4) * 0.25.
    assert results[2].value("negative") == pytest.approx(-0.125)
    assert results[1].value("negative") == pytest.approx(-0.25 * 0.5)
    assert results[0].value("negative") == 0.0
    raw = assessed(negative_counts="raw")
    assert raw[2].value("negative") == pytest.approx(-2 * 0.25)
    assert error_counts(VERDICTS, FeedbackSettings()) == {"key": 0.5, "wrong-answer": 0.25}


def test_error_fields_and_located_reward() -> None:
    feedback = assessed()[2]
    assert (feedback.error_type, feedback.error_line, feedback.error_message) == ("key", 2, "'a'")
    span = next(r.span for r in feedback.rewards if r.term == "negative")
    assert PROGRAMS[2][span.start : span.end] == "print(d['a'])"


def test_replace_and_add_differ_in_the_coarse_span_alone() -> None:
    for one, other in zip(assessed(adaptive="replace"), assessed(adaptive="add"), strict=True):
        for a, b in zip(one.rewards, other.rewards, strict=True):
            assert a.value == b.value
            assert (a.span == b.span) or (
                a.term == "coarse" and one.error_type in ("", "wrong-answer")
            )
    assert assessed(adaptive="replace")[1].rewards[0].span is None
    assert assessed(adaptive="add")[1].rewards[0].span is not None
    assert assessed()[1].value("error") == pytest.approx(0.025)


def test_judge_is_named_and_examples_reach_the_tripwires() -> None:
    results = assess_group(
        ["assert total([1, 2]) == 3\n" + GOOD_SUM],
        VERDICTS[:1],
        settings=FeedbackSettings(),
        judge=StaticJudge(),
        error_share={},
        examples="assert total([1, 2]) == 3",
    )
    assert "static-3-ruff-" in next(r.reason for r in results[0].rewards if r.term == "style")
    assert results[0].tripwires == ("visible-tests",)


def test_counts_must_agree() -> None:
    with pytest.raises(ValueError, match="1 programs but 5 verdicts"):
        assess_group(
            [""], VERDICTS, settings=FeedbackSettings(), judge=StaticJudge(), error_share={}
        )


def test_what_does_not_compile_gets_no_reward_for_style() -> None:
    program = GOOD_SUM + "return total\n"
    assert StaticJudge().score(program).style > 1  # It parses.
    error = ErrorInfo(type="SyntaxError", line=8, message="'return' outside function")
    (results,) = assess_group(
        [program],
        [Verdict(outcome=Outcome.SYNTAX_ERROR, error=error)],
        settings=FeedbackSettings(),
        judge=StaticJudge(),
        error_share={},
    )
    assert (results.value("style"), results.value("complexity")) == (-1.0, -1.0)
    assert "does not compile: 'return' outside" in results.rewards[2].reason
