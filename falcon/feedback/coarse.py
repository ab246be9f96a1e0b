"""Coarse reward: how a program ended (eq. 7), as in CodeRL.

With ``adaptive: replace`` the error term, whose limits are the same 1.0 and -0.3, replaces this
one for passes and failures; the coarse term then has no span.
"""

from typing import Literal

from falcon.feedback.reward import Reward
from falcon.feedback.spans import whole_span
from falcon.sandbox.verdict import Verdict

COARSE = {"pass": 1.0, "failure": -0.3, "runtime": -0.6, "syntax": -1.0}
"""R_coarse of eq. 7 by outcome class."""
TAMPERED = min(COARSE.values())
"""Of a program that attacked what judges it: no honest failure may earn less."""


def coarse_reward(
    verdict: Verdict, program: str, adaptive: Literal["replace", "add"] = "replace"
) -> Reward:
    """R_coarse over the whole program (S = 0, E = T).

    Raises ValueError for a sandbox fault, which has no reward.
    """
    kind = verdict.outcome.coarse
    if kind == "fault":
        raise ValueError("a sandbox fault has no reward")
    value = TAMPERED if verdict.tampered else COARSE[kind]
    reason = f"{kind} ({verdict.outcome}): {value:.1f}"
    if adaptive == "replace" and kind in ("pass", "failure") and not verdict.tampered:
        reason += ", left to the error term"
        return Reward(term="coarse", value=value, span=None, reason=reason)
    return Reward(term="coarse", value=value, span=whole_span(program), reason=reason)
