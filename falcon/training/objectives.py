"""Losses of Algorithm 1: {sl, coarse, error, complexity, style, negative} as token coefficients.

Every term is linear in the log-probabilities (eq. 1 and 2), so a completion is scored once
and each loss is one dot product: L_j = -sum_t c_jt log p(w_t). The coefficient c_jt is the
advantage at the token over the number of tokens of the task's mini-batch (eq. 1 sums; the mean
over tokens keeps long programs from drowning short ones). :mod:`falcon.training.batches.items`
makes the coefficients.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from falcon.config import LossWeights, Settings
from falcon.policy.likelihood import Group, micro_batches, score
from falcon.policy.pairs import Pairs
from falcon.policy.policy import Policy
from falcon.training.batches.items import LOSSES, Item


@dataclass
class LossReport:
    """Losses of a mini-batch: each term's value, tokens scored and mean entropy in nats."""

    terms: dict[str, float]
    total: float
    tokens: int
    entropy: float


def weights_vector(weights: LossWeights) -> torch.Tensor:
    """Weights of the losses, [J]."""
    return torch.tensor([getattr(weights, name) for name in LOSSES])


def loss_batches(
    items: Sequence[Item], settings: Settings, *, packed: bool = True
) -> list[list[Group]]:
    """Items grouped by task and prompt and put into micro-batches; tags are item numbers."""
    grouped: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for number, item in enumerate(items):
        grouped.setdefault((item.task, item.prompt), []).append(number)
    groups = [
        Group(prompt, tuple(items[n].completion for n in numbers), task, tuple(numbers))
        for (task, prompt), numbers in grouped.items()
    ]
    return micro_batches(groups, settings.train.micro_batch_tokens, packed=packed)


def batch_loss(
    policy: Policy,
    items: Sequence[Item],
    rows: Sequence[Group],
    pairs: Pairs | None,
    settings: Settings,
) -> tuple[torch.Tensor, LossReport]:
    """The weighted sum of the losses over one micro-batch, and the terms one by one."""
    s = settings.sampling
    plain = {tag for row in rows for tag in row.tags if not items[tag].on_policy}
    scored = score(policy, rows, pairs, temperature=s.temperature, top_p=s.top_p, plain=plain)
    # Rows are sorted by length: lay the coefficients out in the order of the scored pieces.
    coefficients = torch.cat([items[tag].coefficients for tag, *_ in scored.pieces], dim=1)
    coefficients = coefficients.to(scored.log_probs.device)  # [J, sum of T]
    losses = -(coefficients @ scored.log_probs)  # [J]
    total = (losses * weights_vector(settings.train.loss).to(losses.device)).sum()
    report = LossReport(
        terms=dict(zip(LOSSES, losses.detach().tolist(), strict=True)),
        total=float(total.detach()),
        tokens=int(scored.log_probs.numel()),
        entropy=float(scored.entropy.mean()) if scored.entropy.numel() else 0.0,
    )
    return total, report


def merge(reports: Sequence[LossReport]) -> LossReport:
    """Reports of micro-batches or processes as one: losses and tokens add up.

    No mean is taken of the losses: their coefficients are divided by the tokens already. Entropy
    is the mean over all tokens.
    """
    tokens = sum(r.tokens for r in reports)
    return LossReport(
        terms={name: sum(r.terms[name] for r in reports) for name in LOSSES},
        total=sum(r.total for r in reports),
        tokens=tokens,
        entropy=sum(r.entropy * r.tokens for r in reports) / max(tokens, 1),
    )
