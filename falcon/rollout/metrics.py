"""Means over attempts: verdicts, rewards, and ways to please judge and tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from falcon.feedback.reward import COPIED

if TYPE_CHECKING:
    from falcon.rollout.records import Attempt

HACKING = {
    "padding": frozenset({"dead-code-padding"}),
    "comments": frozenset({"comment-stuffing"}),
    "copied_tests": COPIED,
    "example_table": frozenset({"example-table"}),
}
"""Ways to please a judge or the tests without solving the task; all other signs are tampering."""


def _signs(attempt: Attempt, wanted: frozenset[str] | None) -> bool:
    """Whether an attempt shows one of the wanted signs (None: one of those in no group)."""
    signs = set(attempt.feedback.tripwires)
    return bool(signs - frozenset().union(*HACKING.values()) if wanted is None else signs & wanted)


def outcome_metrics(attempts: Sequence[Attempt]) -> dict[str, float]:
    """Share of each coarse class, mean rewards, tripped, length, and the share of answers that the
    length limit cut (``truncated``). Our own faults are apart."""
    judged = [a for a in attempts if a.judged]
    n = max(len(judged), 1)  # no attempt at all gives zeros, not NaN
    classes = Counter(a.verdict.outcome.coarse for a in judged)
    metrics = {
        f"verdict/{name}": classes[name] / n for name in ("pass", "failure", "runtime", "syntax")
    }
    metrics["verdict/fault"] = 1 - len(judged) / max(len(attempts), 1)
    metrics["reward/composite"] = sum(a.reward for a in judged) / n
    metrics["reward/tests"] = sum(a.test_reward for a in judged) / n
    for term in ("style", "complexity", "negative"):
        values = [v for a in judged if (v := a.feedback.value(term)) is not None]
        metrics[f"reward/{term}"] = sum(values) / max(len(values), 1)
    judge_faults = sum(a.feedback.value("style") is None for a in judged)
    metrics["judge/fault_rate"] = judge_faults / n
    metrics["tamper_rate"] = sum(a.feedback.tripped for a in judged) / n
    for name, signs in (("tamper", None), *HACKING.items()):
        metrics[f"hacking/{name}"] = sum(_signs(a, signs) for a in judged) / n
    metrics["tokens/mean"] = sum(len(a.completion.ids) for a in judged) / n
    metrics["truncated"] = sum(not a.completion.finished for a in judged) / n
    return metrics
