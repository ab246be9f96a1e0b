"""Metrics of one iteration: outcomes before and after adaptation, and the losses of both loops."""

from collections.abc import Sequence

from falcon.rollout import Attempt, outcome_metrics
from falcon.training.batches.items import LOSSES
from falcon.training.objectives import LossReport


def iteration_metrics(
    before: Sequence[Sequence[Attempt]],
    after: Sequence[Sequence[Attempt]],
    inner: LossReport | None,
    outer: LossReport,
    norms: dict[str, float],
) -> dict[str, float]:
    """Means over the attempts under theta (``before``) and of Evaluation (``after``), by task."""
    first = [a for group in before for a in group]
    second = [a for group in after for a in group]
    # Where all samples of a task have the same reward their advantages are 0: they teach nothing.
    spread = [len({round(a.test_reward, 6) for a in group if a.judged}) > 1 for group in before]
    terms = {f"loss/{name}": outer.terms.get(name, 0.0) for name in LOSSES}
    if inner is not None:
        terms |= {f"loss_inner/{name}": inner.terms.get(name, 0.0) for name in LOSSES}
    return {
        **outcome_metrics(first),
        **terms,
        **norms,
        "loss/total": outer.total,
        "policy/entropy": outer.entropy,
        "tokens/trained": float(outer.tokens),
        "tokens/drawn": float(sum(len(a.completion.drawn) for a in (*first, *second))),
        "adaptation_gain": _mean_reward(second) - _mean_reward(first),
        "groups/zero_spread": 1 - sum(spread) / max(len(spread), 1),
    }


def _mean_reward(attempts: Sequence[Attempt]) -> float:
    judged = [a.test_reward for a in attempts if a.judged]
    return sum(judged) / max(len(judged), 1)
