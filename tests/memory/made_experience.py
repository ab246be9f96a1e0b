"""Experiences made to order."""

from __future__ import annotations

from falcon.feedback.reward import Feedback, Reward
from falcon.memory import Experience, Origin
from falcon.problems.problem import Split
from falcon.sandbox.verdict import CaseResult, Outcome, Verdict


def make_experience(
    number: int = 0,
    *,
    problem: str | None = None,
    task: str | None = None,
    program: str | None = None,
    outcome: Outcome = Outcome.PASS,
    error: str = "",
    line: int = 0,
    message: str = "",
    score: float = 1.0,
    split: Split = Split.TRAIN,
) -> Experience:
    return Experience(
        problem_id=problem or f"builtin/p{number}",
        split=split,
        task=task or f"Task {number}: add {number} to every number of the list.",
        program=program or f"def f(xs):\n    return [x + {number} for x in xs]\n",
        verdict=Verdict(outcome=outcome, cases=(CaseResult(outcome=outcome),)),
        feedback=Feedback(
            rewards=(Reward(term="coarse", value=score, span=None, reason="test"),),
            error_type=error,
            error_line=line,
            error_message=message,
        ),
        score=score,
        origin=Origin(stage="test", step=number),
    )
