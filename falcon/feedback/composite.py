"""Composite reward: R(W, F), by which programs are ranked, selected and reported.

The paper's sum of the problem setting is alpha*T + beta*S + gamma*C + delta*E: T is the unit
tests' term, S style, C complexity and E the feedback on errors (eq. 9). By this sum alone a tidy
wrong program outranks a plain right one. So the tests decide first, and the sum orders programs
that did the same with them. The losses of Algorithm 1 use the single terms.
"""

import math

from falcon.config import FeedbackSettings
from falcon.feedback.reward import Feedback
from falcon.sandbox.verdict import Verdict

APART = 3.0
"""Distance of the ranks of :func:`ranked`. A sum moves a score by less than 1, so they never
touch."""


def unit_test_value(feedback: Feedback) -> float:
    """T: the values of the coarse and error terms that apply, summed; 0 without either.

    With ``adaptive: replace`` exactly one of them applies, so T lies in [-1, 1]. With
    ``add``, T lies in [-1, 2].
    """
    return math.fsum(
        r.value for r in feedback.rewards if r.term in ("coarse", "error") and r.span is not None
    )


def paper_sum(feedback: Feedback, settings: FeedbackSettings) -> float:
    """The paper's weighted sum; an absent term counts 0. Raises ValueError if it is not finite."""
    parts = (  # fsum below: exact, so the result does not depend on the order
        settings.alpha * unit_test_value(feedback),
        settings.beta * (feedback.value("style") or 0.0),
        settings.gamma * (feedback.value("complexity") or 0.0),
        settings.delta * (feedback.value("negative") or 0.0),
    )
    if not all(map(math.isfinite, parts)):
        raise ValueError(f"the composite reward is not finite: terms {parts}")
    return math.fsum(parts)


def ranked(total: float, *, passed: bool, tampered: bool) -> float:
    """The paper's sum as a score: 2 to 4 for programs that passed their tests, -1 to 1 for those
    that failed, -4 to -2 for those that attacked what judges them. Higher sums are higher scores.
    """
    rank = 1 if passed else -1 if tampered else 0
    # s / (1 + |s|) in a form in which each step keeps the order, rounded as it is.
    return APART * rank + math.copysign(1 - 1 / (1 + abs(total)), total)


def composite(verdict: Verdict, feedback: Feedback, settings: FeedbackSettings) -> float:
    """R(W, F). Raises ValueError if the paper's sum is not finite."""
    total = paper_sum(feedback, settings)
    return ranked(total, passed=verdict.passed, tampered=verdict.tampered)
