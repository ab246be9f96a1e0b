"""Fine-grained reward: RLTF's -0.3 on the text that an error is about.

It takes the place of eq. 9, with one value for every error type.
"""

from falcon.feedback.error_types import LineMatching, error_span, error_type
from falcon.feedback.reward import Reward
from falcon.sandbox.verdict import Outcome, Verdict

FINE = -0.3
"""RLTF's R_fine."""


def fine_reward(verdict: Verdict, program: str, matching: LineMatching = "exact") -> Reward:
    """-0.3 on the error's line, on the whole program, or without a span (only reported).

    0 without an error. Raises ValueError for a sandbox fault, which has no reward.
    """
    if verdict.outcome is Outcome.SANDBOX_ERROR:
        raise ValueError("a sandbox fault has no reward")
    kind = error_type(verdict)
    if not kind:
        return Reward(term="fine", value=0.0, span=None, reason="no error")
    span, where = error_span(verdict, program, matching)
    return Reward(term="fine", value=FINE, span=span, reason=f"{kind}: {FINE}, {where}")
