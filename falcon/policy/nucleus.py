"""Temperature and nucleus (top-p) as one function, for the sampler and for the gradient alike.

A policy sampled at temperature T and top-p is the distribution p_T cut to its nucleus.
Training on the log-probability of another distribution biases the gradient, so both sides
call what is here.
"""

from __future__ import annotations

import torch

_HEAD = 64
_CHUNK = 32
"""Rows of logits looked at together: what is made of them stays in the processor's caches."""


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
    logits: torch.Tensor,
    tokens: torch.Tensor,
    temperature: float,
    top_p: float,
    plain: torch.Tensor | None = None,
) -> torch.Tensor:
    """log p of ``tokens`` [P] under the distribution they were drawn from; ``logits`` [P, V] -> [P].

    The nucleus is fixed by the detached logits; a token outside it (drawn under slightly
    other weights) is given the untruncated probability instead of minus infinity. Rows of
    ``plain`` [P] (bool) are of the model as it is: temperature 1, no nucleus.
    """
    if plain is None:
        plain = torch.zeros_like(tokens, dtype=torch.bool)
    if top_p >= 1:
        return _whole_log_prob(logits, tokens, _temperatures(plain, temperature))
    # Nearly every nucleus is a few tokens wide, and the gradient has to do with those alone:
    # what takes the whole vocabulary is asked of the rows that need it.
    indices, kept, covered = _looked(logits.detach(), temperature, top_p)
    inside = (indices == tokens.unsqueeze(-1)).logical_and(kept).any(-1)
    lit = logits.gather(-1, torch.cat([indices, tokens.unsqueeze(-1)], dim=-1)).float()
    lit = lit / temperature
    found = lit[:, -1] - torch.logsumexp(lit[:, :-1].masked_fill(~kept, -torch.inf), dim=-1)
    narrow = (covered >= top_p).logical_and(inside).logical_and(~plain)
    rest = (~narrow).nonzero().squeeze(-1)
    if not len(rest):
        return found
    some, plain = logits[rest], plain[rest]
    other = _whole_log_prob(some, tokens[rest], _temperatures(plain, temperature))
    wide = ((covered[rest] < top_p) & ~plain).nonzero().squeeze(-1)
    for rows in torch.split(wide, _HEAD):
        cut = _wide_log_prob(some[rows], tokens[rest[rows]], temperature, top_p)
        other = other.index_put((rows,), cut)
    return found.index_put((rest,), other)


def _temperatures(plain: torch.Tensor, temperature: float) -> torch.Tensor:
    """[P, 1]: 1 where plain."""
    return torch.where(plain, 1.0, temperature).unsqueeze(-1)


def _whole_log_prob(
    logits: torch.Tensor, tokens: torch.Tensor, temperatures: torch.Tensor
) -> torch.Tensor:
    scaled = logits.float() / temperatures
    return torch.log_softmax(scaled, dim=-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)


@torch.no_grad()
def _looked(
    logits: torch.Tensor, temperature: float, top_p: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The likeliest tokens of each row: ids [P, K], whether each is in the nucleus, mass covered."""
    parts = []
    for some in torch.split(logits, _CHUNK):
        values, indices, covered = _kept(some.float() / temperature, top_p, _HEAD)
        parts.append((indices, torch.isfinite(values), covered))
    indices, kept, covered = (torch.cat(found) for found in zip(*parts, strict=True))
    return indices, kept, covered


def _wide_log_prob(
    logits: torch.Tensor, tokens: torch.Tensor, temperature: float, top_p: float
) -> torch.Tensor:
    scaled = logits.float() / temperature
    with torch.no_grad():
        values, indices, _ = _kept(scaled, top_p, scaled.shape[-1])
    kept = torch.isfinite(values)
    inside = (indices == tokens.unsqueeze(-1)).logical_and(kept).any(-1)
    lit = scaled.gather(-1, indices).masked_fill(~kept, -torch.inf)
    mass = torch.where(inside, torch.logsumexp(lit, dim=-1), torch.logsumexp(scaled, dim=-1))
    return scaled.gather(-1, tokens.unsqueeze(-1)).squeeze(-1) - mass


@torch.no_grad()
def entropy(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Entropy in nats of each row before any cut, [P, V] -> [P]."""
    found = []
    for some in torch.split(logits, _CHUNK):
        log_p = torch.log_softmax(some.float() / temperature, dim=-1)
        found.append(-(log_p.exp() * log_p).sum(-1))
    return torch.cat(found) if found else logits.new_zeros(0, dtype=torch.float32)


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
