"""The worked example of docs/feedback.md, number by number."""

from __future__ import annotations

import pytest

from falcon.config import FeedbackSettings
from falcon.feedback import assess_group, composite, make_judge, paper_sum
from falcon.sandbox.verdict import CaseResult, ErrorInfo, Outcome, Verdict

REFERENCE = '''def mean(values):
    """Arithmetic mean; 0 for an empty list."""
    return sum(values) / len(values) if values else 0
'''
SAMPLES = [
    REFERENCE,
    "def mean(values):\n    total=0\n    for i in range(len(values)):\n"
    "        total += values[i]\n    return total / len(values)\n",
    'def mean(values):\n    """Arithmetic mean; 0 for an empty list."""\n'
    "    total = sum(values)\n    return total // max(1, len(values))\n",
    "def mean(values:\n    return 0\n",
]


def test_worked_example() -> None:
    good, bad = CaseResult(outcome=Outcome.PASS), CaseResult(outcome=Outcome.WRONG_ANSWER)
    division = ErrorInfo(type="ZeroDivisionError", line=5, message="division by zero")
    bracket = ErrorInfo(type="SyntaxError", line=1, message="'(' was never closed")
    verdicts = [
        Verdict(outcome=Outcome.PASS, cases=(good,) * 4),
        Verdict(outcome=Outcome.RUNTIME_ERROR, cases=(good,) * 3, error=division),
        Verdict(outcome=Outcome.WRONG_ANSWER, cases=(good, good, good, bad)),
        Verdict(outcome=Outcome.SYNTAX_ERROR, error=bracket),
    ]
    settings = FeedbackSettings()
    results = assess_group(
        SAMPLES,
        verdicts,
        settings=settings,
        judge=make_judge(settings),
        error_share={"zero-division": 0.12, "wrong-answer": 0.4, "syntax": 0.2},
        references=(REFERENCE,),
    )
    rows = [[round(reward.value, 2) for reward in feedback.rewards] for feedback in results]
    assert rows == [
        [1.0, 1.0, 1.96, 2.0, 0.0],
        [-0.6, 0.0, 1.83, 1.4, -0.03],
        [-0.3, 0.68, 1.99, 2.0, -0.1],
        [-1.0, 0.0, -1.0, -1.0, -0.05],
    ]
    spanned = [[r.term for r in feedback.rewards if r.span] for feedback in results]
    assert spanned == [
        ["error", "complexity", "style"],
        ["coarse", "complexity", "style", "negative"],
        ["error", "complexity", "style"],
        ["coarse", "complexity", "style", "negative"],
    ]
    negative = results[1].rewards[4].span
    assert negative is not None
    assert (negative.start, negative.end) == (90, 120)
    sums = [paper_sum(feedback, settings) for feedback in results]
    assert sums == pytest.approx([4.96, 2.60, 4.57, -3.05], abs=0.006)
    scores = [composite(v, f, settings) for v, f in zip(verdicts, results, strict=True)]
    assert scores == pytest.approx([3.83, 0.72, 0.82, -0.75], abs=0.006)
