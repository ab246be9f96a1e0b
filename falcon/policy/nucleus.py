"""Temperature and nucleus (top-p) as one function, for the sampler and for the gradient alike.

A policy sampled at temperature T and top-p is the distribution p_T cut to its nucleus.
Training on the log-probability of another distribution biases the gradient, so both sides
call what is here.
"""

from __future__ import annotations

import torch

_HEAD = 64


def _kept(
    scaled: torch.Tensor, top_p: float, width: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    total = torch.logsumexp(scaled, dim=-1, keepdim=True)
    values, indices = torch.topk(scaled, min(width, scaled.shape[-1]), dim=-1)
    mass = torch.exp(values - total)
    before = mass.cumsum(-1) - mass
    return values.masked_fill(before >= top_p, -torch.inf), indices, before[..., -1] + mass[..., -1]


def nucleus(
    logits: torch.Tensor, temperature: float, top_p: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The nucleus of each row: the smallest set of likeliest tokens with mass >= top_p.

    ``logits`` [P, V] -> (scaled logits [P, K], best first, -inf outside the nucleus; token
    ids [P, K]). K is as small as the rows allow.
    """
    scaled = logits.float() / temperature
    if top_p >= 1:
        values, indices = torch.sort(scaled, dim=-1, descending=True)
        return values, indices
    values, indices, covered = _kept(scaled, top_p, _HEAD)
    if bool((covered < top_p).any()):
        values, indices, _ = _kept(scaled, top_p, scaled.shape[-1])
    return values, indices


def log_prob(
    logits: torch.Tensor, tokens: torch.Tensor, temperature: float, top_p: float
) -> torch.Tensor:
    """log p of ``tokens`` [P] under the distribution they were drawn from; ``logits`` [P, V] -> [P].

    The nucleus is fixed by the detached logits; a token outside it (drawn under slightly
    other weights) is given the untruncated probability instead of minus infinity.
    """
    scaled = logits.float() / temperature
    chosen = scaled.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    whole = torch.logsumexp(scaled, dim=-1)
    if top_p >= 1:
        return chosen - whole
    with torch.no_grad():
        values, indices = nucleus(scaled, 1.0, top_p)
        inside = (indices == tokens.unsqueeze(-1)).logical_and(torch.isfinite(values)).any(-1)
    kept = scaled.gather(-1, indices).masked_fill(~torch.isfinite(values), -torch.inf)
    return chosen - torch.where(inside, torch.logsumexp(kept, dim=-1), whole)


def draw(
    logits: torch.Tensor, uniforms: torch.Tensor, temperature: float, top_p: float
) -> torch.Tensor:
    """One token a row by inverse transform; ``logits`` [R, V], ``uniforms`` [R] in [0, 1) -> [R].

    The random number is an input so that a sample does not depend on what else is in the batch.
    """
    values, indices = nucleus(logits, temperature, top_p)
    cumulative = torch.softmax(values, dim=-1).cumsum(-1)
    threshold = uniforms.unsqueeze(-1) * cumulative[..., -1:]
    position = torch.searchsorted(cumulative, threshold, right=True).clamp(max=values.shape[-1] - 1)
    # Rounding at the very end of the sum must not land outside the nucleus.
    last = torch.isfinite(values).sum(-1, keepdim=True) - 1
    return indices.gather(-1, torch.minimum(position, last)).squeeze(-1)
