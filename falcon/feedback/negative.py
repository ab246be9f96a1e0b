"""Negative reward: for errors that are frequent in this task and in the memory (eq. 9).

The paper's sum runs over all error types; a program gets the summand of its own error, at the
place of the error (as RLTF's fine-grained feedback). The caller counts.
"""

import math
from collections.abc import Mapping

from falcon.feedback.error_types import LineMatching, error_span, error_type
from falcon.feedback.reward import Reward
from falcon.feedback.spans import whole_span
from falcon.sandbox.verdict import Outcome, Verdict


def _weight(name: str, table: Mapping[str, float], kind: str) -> float:
    value = float(table.get(kind, 0.0))
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} of `{kind}` is {value}: it must be finite and not negative")
    return value


def negative_sum(n: Mapping[str, float], p: Mapping[str, float]) -> float:
    """R_negative = -sum_e N_e * P_e, over the types in both mappings (absent: 0).

    Raises ValueError for a negative or non-finite number.
    """
    # `0.0 -` instead of a sign: -0.0 would be written as such into logs and tables.
    return 0.0 - math.fsum(_weight("N", n, kind) * _weight("P", p, kind) for kind in n)


def negative_reward(
    verdict: Verdict,
    program: str,
    n: Mapping[str, float],
    p: Mapping[str, float],
    matching: LineMatching = "exact",
) -> Reward:
    """-N_e * P_e of the program's own error type e, on the text that the error is about.

    ``n`` is the count, or share of the task's samples, of each error type; ``p`` the long-term
    share; an absent type counts 0. A program that attacked what judges it gets the sum over all
    types, on the whole of it, so that no error earns less. Without a span (only reported) for wrong
    answers and errors without a known place. Raises ValueError for a sandbox fault and for a
    negative or non-finite number.
    """
    if verdict.outcome is Outcome.SANDBOX_ERROR:
        raise ValueError("a sandbox fault has no reward")
    kind = error_type(verdict)
    if not kind:
        return Reward(term="negative", value=0.0, span=None, reason="no error")
    if verdict.tampered:
        value = negative_sum(n, p)
        reason = f"tampering: the sum over all errors = {value:.4g}, whole program"
        return Reward(term="negative", value=value, span=whole_span(program), reason=reason)
    count, share = _weight("N", n, kind), _weight("P", p, kind)
    value = 0.0 - count * share
    span, where = error_span(verdict, program, matching)
    reason = f"{kind}: -N * P = -{count:.4g} * {share:.4g} = {value:.4g}, {where}"
    return Reward(term="negative", value=value, span=span, reason=reason)
