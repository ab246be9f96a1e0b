"""Advantages: rewards less a baseline, which is what the paper's losses multiply log p(w_t) by.

A baseline lowers the variance of the policy gradient: weights then move by what is better or
worse than usual, and not by what every program for the problem gets.
"""

from collections.abc import Mapping, Sequence

from falcon.config import MetaSettings
from falcon.feedback import unit_test_value
from falcon.feedback.reward import TERMS, Feedback, Reward


def baselines(
    group: Sequence[Feedback],
    meta: MetaSettings,
    adaptive: str,
    greedy: Sequence[Feedback] | None = None,
) -> dict[str, float]:
    """The baseline of each term for programs of one problem; ``group`` is their feedback.

    ``greedy`` is the feedback of the greedy program, empty if it has no verdict. With
    ``adaptive: replace`` coarse and error are two cases of one reward, so they share the mean
    of that reward; with ``add`` each has its own. eq. 9 has no baseline.
    """
    result = dict.fromkeys(TERMS, 0.0)
    source = greedy if meta.baseline == "greedy" and greedy is not None else group
    if meta.baseline != "none":
        if adaptive == "replace":
            result["coarse"] = result["error"] = _mean([unit_test_value(f) for f in source])
        else:
            for term in ("coarse", "error"):
                result[term] = _mean(_values(source, term))
    if meta.quality_baseline == "group_mean":
        for term in ("complexity", "style"):
            result[term] = _mean(_values(group, term))
    return result


def advantages(rewards: Sequence[Reward], baseline: Mapping[str, float]) -> list[Reward]:
    """The rewards, each less the baseline of its term."""
    return [r.model_copy(update={"value": r.value - baseline.get(r.term, 0.0)}) for r in rewards]


def _values(group: Sequence[Feedback], term: str) -> list[float]:
    # A reward without a span trains nothing, so it must not move the baseline of the others.
    return [r.value for f in group for r in f.rewards if r.term == term and r.span is not None]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
