"""Temperature and nucleus (top-p) as one function, for the sampler and for the gradient alike.

A policy sampled at temperature T and top-p is the distribution p_T cut to its nucleus.
Training on the log-probability of another distribution biases the gradient, so both sides
call what is here.
"""

import torch

_HEAD = 64
"""Likeliest tokens that are tried first: nearly every nucleus is narrower."""
_CHUNK = 32
"""Rows of logits worked on together: intermediate results stay in the processor's caches."""


def _kept(
    scaled: torch.Tensor, top_p: float, width: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The ``width`` likeliest tokens of rows [P, V]: logits [P, K], -inf outside the nucleus; ids
    [P, K]; the mass they cover [P]."""
    total = torch.logsumexp(scaled, dim=-1, keepdim=True)  # [P, 1], over the whole vocabulary
    values, indices = torch.topk(scaled, min(width, scaled.shape[-1]), dim=-1)
    mass = torch.exp(values - total)
    before = mass.cumsum(-1) - mass  # of the likelier tokens; the one that crosses top_p is kept
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
    wide = (covered < top_p).nonzero().squeeze(-1)  # rows whose nucleus is wider than the head
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
    """log p of ``tokens`` [P] as they were drawn; ``logits`` [P, V] -> [P].

    The detached logits fix the nucleus. A token outside it (drawn under slightly other weights)
    gets its probability without a nucleus, instead of minus infinity. ``plain`` [P] (bool) marks
    tokens that are scored at temperature 1 without a nucleus.
    """
    if plain is None:
        plain = torch.zeros_like(tokens, dtype=torch.bool)
    if top_p >= 1:
        return _whole_log_prob(logits, tokens, _temperatures(plain, temperature))
    # Nearly every nucleus is a few tokens wide, and the gradient concerns those alone. Only rows
    # that need it pay for a softmax over the whole vocabulary, forward and backward.
    indices, kept, covered = _head(logits.detach(), temperature, top_p)
    inside = (indices == tokens.unsqueeze(-1)).logical_and(kept).any(-1)  # [P]
    scaled = logits.gather(-1, torch.cat([indices, tokens.unsqueeze(-1)], dim=-1)).float()
    scaled = scaled / temperature  # [P, K + 1]: the head, and last the token itself
    mass = torch.logsumexp(scaled[:, :-1].masked_fill(~kept, -torch.inf), dim=-1)
    narrow_log_probs = scaled[:, -1] - mass  # [P], right where the nucleus lies in the head
    narrow = (covered >= top_p).logical_and(inside).logical_and(~plain)
    rest = (~narrow).nonzero().squeeze(-1)
    if not len(rest):
        return narrow_log_probs
    rest_logits, plain = logits[rest], plain[rest]
    rest_log_probs = _whole_log_prob(rest_logits, tokens[rest], _temperatures(plain, temperature))
    wide = ((covered[rest] < top_p) & ~plain).nonzero().squeeze(-1)
    for rows in torch.split(wide, _HEAD):  # a few at once: a wide nucleus sorts the vocabulary
        cut = _wide_log_prob(rest_logits[rows], tokens[rest[rows]], temperature, top_p)
        rest_log_probs = rest_log_probs.index_put((rows,), cut)
    return narrow_log_probs.index_put((rest,), rest_log_probs)


def _temperatures(plain: torch.Tensor, temperature: float) -> torch.Tensor:
    """The temperature of each row, [P] -> [P, 1]: 1 where plain."""
    return torch.where(plain, 1.0, temperature).unsqueeze(-1)


def _whole_log_prob(
    logits: torch.Tensor, tokens: torch.Tensor, temperatures: torch.Tensor
) -> torch.Tensor:
    scaled = logits.float() / temperatures
    return torch.log_softmax(scaled, dim=-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)


@torch.no_grad()
def _head(
    logits: torch.Tensor, temperature: float, top_p: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The likeliest tokens of each row: ids [P, K], whether in the nucleus [P, K], mass [P]."""
    parts = []
    for some in torch.split(logits, _CHUNK):
        values, indices, covered = _kept(some.float() / temperature, top_p, _HEAD)
        parts.append((indices, torch.isfinite(values), covered))
    indices, kept, covered = (torch.cat(column) for column in zip(*parts, strict=True))
    return indices, kept, covered


def _wide_log_prob(
    logits: torch.Tensor, tokens: torch.Tensor, temperature: float, top_p: float
) -> torch.Tensor:
    scaled = logits.float() / temperature
    with torch.no_grad():
        values, indices, _ = _kept(scaled, top_p, scaled.shape[-1])
    kept = torch.isfinite(values)
    inside = (indices == tokens.unsqueeze(-1)).logical_and(kept).any(-1)
    cut = scaled.gather(-1, indices).masked_fill(~kept, -torch.inf)
    mass = torch.where(inside, torch.logsumexp(cut, dim=-1), torch.logsumexp(scaled, dim=-1))
    return scaled.gather(-1, tokens.unsqueeze(-1)).squeeze(-1) - mass


@torch.no_grad()
def entropy(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Entropy in nats of each row before any cut, [P, V] -> [P]."""
    parts = []
    for some in torch.split(logits, _CHUNK):
        log_p = torch.log_softmax(some.float() / temperature, dim=-1)
        parts.append(-(log_p.exp() * log_p).sum(-1))
    return torch.cat(parts) if parts else logits.new_zeros(0, dtype=torch.float32)


def pick(values: torch.Tensor, indices: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """One token of each row's :func:`nucleus`, [R, K] both, by inverse transform -> [R]."""
    cumulative = torch.softmax(values, dim=-1).cumsum(-1)
    threshold = uniforms.unsqueeze(-1) * cumulative[..., -1:]  # [R, 1]; the sum is not quite 1
    position = torch.searchsorted(cumulative, threshold, right=True).clamp(max=values.shape[-1] - 1)
    # Rounding at the very end of the sum must not pick a token outside the nucleus.
    last = torch.isfinite(values).sum(-1, keepdim=True) - 1
    return indices.gather(-1, torch.minimum(position, last)).squeeze(-1)
