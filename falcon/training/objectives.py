"""Losses of Algorithm 1: {sl, coarse, error, complexity, style, negative} as token coefficients.

Every term is linear in the log-probabilities (eq. 1 and 2), so a completion is scored once
and each loss is one dot product: L_j = -sum_t c_jt log p(w_t). The coefficient is the term's
reward at the token, less the baseline, over the number of tokens of the task's mini-batch
(eq. 1 sums; the mean over tokens keeps long programs from drowning short ones).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from falcon.feedback import token_offsets, token_rewards, unit_test_value
from falcon.feedback.reward import TERMS, Feedback, Reward
from falcon.policy.likelihood import Group, micro_batches, score

if TYPE_CHECKING:
    from falcon.config import LossWeights, MetaSettings, Settings
    from falcon.policy.adapter import Pairs
    from falcon.policy.policy import Policy
    from falcon.rollout import Attempt

LOSSES = ("sl", *TERMS)
"""The losses of the inner sum, in the order of Algorithm 1."""


@dataclass(frozen=True)
class Item:
    """One completion with its coefficients: ``coefficients`` [J, T], J as :data:`LOSSES`.

    ``drawn`` tells whether the policy sampled it: its likelihood is then that of the sampling
    distribution. References and remembered programs are scored by the plain model (eq. 2).
    """

    task: int
    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    coefficients: torch.Tensor
    drawn: bool = True


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


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def baselines(
    group: Sequence[Feedback],
    meta: MetaSettings,
    adaptive: str,
    greedy: Sequence[Feedback] | None = None,
) -> dict[str, float]:
    """What is subtracted from each term of programs for one problem; ``group`` is judged.

    With ``adaptive: replace`` coarse and error are two cases of one reward, so they share the
    mean of that reward; with ``add`` each has its own. eq. 9 has no baseline.
    """
    found = dict.fromkeys(TERMS, 0.0)
    source = greedy if meta.baseline == "greedy" and greedy is not None else group
    if meta.baseline != "none":
        if adaptive == "replace":
            found["coarse"] = found["error"] = _mean([unit_test_value(f) for f in source])
        else:
            for term in ("coarse", "error"):
                found[term] = _mean(_values(source, term))
    if meta.quality_baseline == "group_mean":
        for term in ("complexity", "style"):
            found[term] = _mean(_values(group, term))
    return found


def less(rewards: Sequence[Reward], baseline: Mapping[str, float]) -> list[Reward]:
    """Rewards with what :func:`baselines` found taken off."""
    return [r.model_copy(update={"value": r.value - baseline.get(r.term, 0.0)}) for r in rewards]


def _values(group: Sequence[Feedback], term: str) -> list[float]:
    return [r.value for f in group for r in f.rewards if r.term == term and r.span is not None]


def _term_rows(
    policy: Policy,
    rewards: Sequence[Reward],
    ids: tuple[int, ...],
    drawn: int,
    start: int,
    length: int,
) -> torch.Tensor:
    """[J, T] of rewards at the tokens; ``drawn`` of the T tokens may end with an end token."""
    offsets = token_offsets(policy.tokenizer, ids, skip_special_tokens=False)
    if drawn > len(ids):
        end = offsets[-1][1] if offsets else 0
        offsets = [*offsets, (end, end)]
    rows = token_rewards(rewards, offsets, start, program_length=length)
    zero = [0.0] * len(offsets)
    return torch.tensor([rows.get(name, zero) for name in LOSSES], dtype=torch.float32)


def attempt_rows(policy: Policy, attempt: Attempt, baseline: dict[str, float]) -> torch.Tensor:
    """Rewards less their baselines at the tokens of an attempt, [J, T]."""
    return _term_rows(
        policy,
        less(attempt.feedback.rewards, baseline),
        attempt.completion.ids,
        len(attempt.completion.drawn),
        attempt.program_start,
        len(attempt.program),
    )


@dataclass(frozen=True)
class Sample:
    """A completion that a term may be earned on, before normalisation. ``rows`` [J, T]."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    rows: torch.Tensor
    drawn: bool = True


def sl_sample(policy: Policy, prompt: tuple[int, ...], target: str) -> Sample:
    """The supervised sample of eq. 2: a reference as the answer the prompt asks for."""
    ids = tuple(policy.encode(target))
    if not policy.chat:
        ids = (*ids, int(policy.tokenizer.eos_token_id))
    rows = torch.zeros(len(LOSSES), len(ids))
    rows[0] = 1.0
    return Sample(prompt, ids, rows, drawn=False)


def memory_sample(
    policy: Policy, prompt: tuple[int, ...], text: str, rewards: Sequence[Reward], program: str
) -> Sample:
    """An experience of long-term memory as a sample: its program as an answer, with ``rewards``.

    ``text`` holds ``program``, maybe without the blank characters around it, or is what follows
    the starter in it.
    """
    ids = tuple(policy.encode(text))
    at = text.find(program.strip())
    begins_in_text = at >= 0
    start = (
        at - (len(program) - len(program.lstrip()))
        if begins_in_text
        else -max(0, program.rfind(text.rstrip()))
    )
    rows = _term_rows(policy, rewards, ids, len(ids), start, len(program))
    return Sample(prompt, ids, rows, drawn=False)


def items_of(task: int, samples: Sequence[Sample]) -> list[Item]:
    """The mini-batch of one task, normalised: supervised and rewarded tokens each to their mean."""
    supervised = sum(len(s.completion) for s in samples if bool(s.rows[0].any()))
    rewarded = sum(len(s.completion) for s in samples if not bool(s.rows[0].any()))
    scale = torch.ones(len(LOSSES), 1) / max(rewarded, 1)
    scale[0] = 1 / max(supervised, 1)
    return [
        Item(task, s.prompt, s.completion, s.rows * scale, s.drawn) for s in samples if s.completion
    ]


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
    scored = score(
        policy,
        rows,
        pairs,
        temperature=settings.sampling.temperature,
        top_p=settings.sampling.top_p,
        plain={tag for row in rows for tag in row.tags if not items[tag].drawn},
    )
    coefficients = torch.cat([items[tag].coefficients for tag, *_ in scored.pieces], dim=1)
    coefficients = coefficients.to(scored.log_probs.device)
    losses = -(coefficients @ scored.log_probs)
    total = (losses * weights_vector(settings.train.loss).to(losses.device)).sum()
    report = LossReport(
        terms=dict(zip(LOSSES, losses.detach().tolist(), strict=True)),
        total=float(total.detach()),
        tokens=int(scored.log_probs.numel()),
        entropy=float(scored.entropy.mean()) if scored.entropy.numel() else 0.0,
    )
    return total, report


def merge(reports: Sequence[LossReport]) -> LossReport:
    """Reports of micro-batches as one: losses and tokens add up, entropy is their mean by token."""
    tokens = sum(r.tokens for r in reports)
    return LossReport(
        terms={name: sum(r.terms[name] for r in reports) for name in LOSSES},
        total=sum(r.total for r in reports),
        tokens=tokens,
        entropy=sum(r.entropy * r.tokens for r in reports) / max(tokens, 1),
    )
