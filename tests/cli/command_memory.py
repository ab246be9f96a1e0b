"""Memories made to order for the tests of commands."""

from __future__ import annotations

from pathlib import Path

from falcon.feedback.reward import Feedback, Reward
from falcon.memory import Experience, HashEncoder, LongTermMemory, Origin
from falcon.problems.problem import Split
from falcon.sandbox.verdict import CaseResult, Outcome, Verdict


def experience(number: int, task: str, *, error: str = "") -> Experience:
    outcome = Outcome.RUNTIME_ERROR if error else Outcome.PASS
    return Experience(
        problem_id=f"builtin/p{number}",
        split=Split.TRAIN,
        task=task,
        program=f"def f(x):\n    return x + {number}\n",
        verdict=Verdict(outcome=outcome, cases=(CaseResult(outcome=outcome),)),
        feedback=Feedback(
            rewards=(Reward(term="coarse", value=1.0, span=None, reason="passed it"),),
            error_type=error,
            error_line=2 if error else 0,
            error_message="not \x1b[31mdefined" if error else "",
        ),
        score=0.5 if error else 1.5,
        origin=Origin(stage="train", step=number, policy="abc"),
    )


def remember(folder: Path, *experiences: Experience) -> None:
    """Write a memory of some experiences."""
    with LongTermMemory.open(folder, HashEncoder(), writable=True) as memory:
        memory.append(experiences)
