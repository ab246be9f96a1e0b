"""Compile reward: +1 for a program that compiles, -1 for one that does not (CompCoder, PPOCoder).

For Python "compiles" means that the compiler accepts the source, however the program runs.
"""

from falcon.feedback.reward import Reward
from falcon.feedback.spans import whole_span
from falcon.sandbox.verdict import Verdict


def compile_reward(verdict: Verdict, program: str) -> Reward:
    """The compile term over the whole program.

    Raises ValueError for a sandbox fault, which has no reward.
    """
    kind = verdict.outcome.coarse
    if kind == "fault":
        raise ValueError("a sandbox fault has no reward")
    value = -1.0 if kind == "syntax" else 1.0
    reason = "does not compile: -1" if kind == "syntax" else "compiles: +1"
    return Reward(term="compile", value=value, span=whole_span(program), reason=reason)
