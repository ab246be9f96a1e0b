"""Composite reward: R(W, F) = alpha*T + beta*S + gamma*C + delta*E of the problem setting.

T is the unit tests' term, S style, C complexity and E the feedback on errors (eq. 9). R ranks
programs, selects them and stands in reports; the losses of Algorithm 1 use the single terms.
"""

import math

from falcon.config import FeedbackSettings
from falcon.feedback.reward import Feedback


def unit_test_value(feedback: Feedback) -> float:
    """T: the values of the coarse and error terms that apply, summed; 0 without either.

    With ``adaptive: replace`` exactly one of them applies, so T lies in [-1, 1]. With
    ``add``, T lies in [-1, 2].
    """
    return math.fsum(
        r.value for r in feedback.rewards if r.term in ("coarse", "error") and r.span is not None
    )


def composite(feedback: Feedback, settings: FeedbackSettings) -> float:
    """R(W, F); an absent term counts 0. Raises ValueError if a part is not finite."""
    parts = (  # fsum below: exact, so the result does not depend on the order
        settings.alpha * unit_test_value(feedback),
        settings.beta * (feedback.value("style") or 0.0),
        settings.gamma * (feedback.value("complexity") or 0.0),
        settings.delta * (feedback.value("negative") or 0.0),
    )
    if not all(map(math.isfinite, parts)):
        raise ValueError(f"the composite reward is not finite: terms {parts}")
    return math.fsum(parts)
