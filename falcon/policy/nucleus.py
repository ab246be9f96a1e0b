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
    wide = (covered < top_p).nonzero().squeeze(-1)
    if len(wide):
        more = scaled.shape[-1] - values.shape[-1]
        values = torch.nn.functional.pad(values, (0, more), value=-torch.inf)
        indices = torch.nn.functional.pad(indices, (0, more))
        values[wide], indices[wide], _ = _kept(scaled[wide], top_p, scaled.shape[-1])
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
        values, indices, covered = _kept(scaled, top_p, _HEAD)
    mass = _mass(scaled, tokens, values, indices, whole)
    # Few rows need more than the likeliest tokens; sorting the vocabulary for all is slow.
    for rows in torch.split((covered < top_p).nonzero().squeeze(-1), _HEAD):
        some = scaled[rows]
        with torch.no_grad():
            values, indices, _ = _kept(some, top_p, some.shape[-1])
        wide = _mass(some, tokens[rows], values, indices, whole[rows])
        mass = mass.index_put((rows,), wide)
    return chosen - mass


def _mass(
    scaled: torch.Tensor,
    tokens: torch.Tensor,
    values: torch.Tensor,
    indices: torch.Tensor,
    whole: torch.Tensor,
) -> torch.Tensor:
    """Log of the mass a token's probability is a share of: its nucleus, or all when outside."""
    kept = torch.isfinite(values)
    inside = (indices == tokens.unsqueeze(-1)).logical_and(kept).any(-1)
    lit = scaled.gather(-1, indices).masked_fill(~kept, -torch.inf)
    return torch.where(inside, torch.logsumexp(lit, dim=-1), whole)


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
