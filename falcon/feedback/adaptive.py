"""Adaptive reward, the paper's "error" term: the share of tests passed (eq. 8), as in RLTF."""

from falcon.feedback.reward import Reward
from falcon.feedback.spans import whole_span
from falcon.sandbox.verdict import Verdict

NONE_PASSED = -0.3
"""Eq. 8 for a program that passed no test."""


def adaptive_value(n_pass: int, n_fail: int) -> float:
    """-0.3 + 1.3 * n_pass / (n_pass + n_fail). Raises ValueError if there are no tests."""
    if n_pass < 0 or n_fail < 0 or n_pass + n_fail == 0:
        raise ValueError(f"no share of tests with {n_pass} passed and {n_fail} failed")
    return NONE_PASSED + 1.3 * n_pass / (n_pass + n_fail)


def adaptive_reward(verdict: Verdict, program: str) -> Reward:
    """R_error over the whole program; without a span unless the program passed or failed.

    A program that crashed or does not compile has no share of tests: its value is 0. One that
    attacked what judges it has none either, whatever it passed before: its value is the lowest. A
    verdict without cases counts as one test. Raises ValueError for a sandbox fault.
    """
    kind = verdict.outcome.coarse
    if kind == "fault":
        raise ValueError("a sandbox fault has no reward")
    if verdict.tampered:
        reason = "tampering: no share of tests"
        return Reward(term="error", value=NONE_PASSED, span=None, reason=reason)
    if kind not in ("pass", "failure"):
        return Reward(term="error", value=0.0, span=None, reason=f"{kind}: no share of tests")
    n_pass, n_fail = verdict.n_pass, verdict.n_fail
    if not verdict.cases:  # a suite that runs as one piece, as a file of asserts
        n_pass, n_fail = int(verdict.passed), int(not verdict.passed)
    value = adaptive_value(n_pass, n_fail)
    n = n_pass + n_fail
    reason = f"{n_pass} of {n} tests: -0.3 + 1.3 * {n_pass}/{n} = {value:.3f}"
    return Reward(term="error", value=value, span=whole_span(program), reason=reason)
