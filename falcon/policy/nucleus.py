"""Temperature and nucleus (top-p) as one function, for the sampler and for the gradient alike.

A policy sampled at temperature T and top-p is the distribution p_T cut to its nucleus.
Training on the log-probability of another distribution biases the gradient, so both sides
call what is here.
"""

from dataclasses import dataclass

import torch

_HEAD = 64
"""Likeliest tokens that are tried first: nearly every nucleus is narrower."""
_CHUNK = 8
"""Rows of logits worked on together: intermediate results stay in the processor's caches."""
_BLOCK = 64
"""Neighbouring tokens whose greatest logit is looked at first in the search for the likeliest."""


def _top(scaled: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``width`` greatest of each row, best first: values [P, K] and ids [P, K]."""
    rows, size = scaled.shape
    if size % _BLOCK or size <= 4 * width * _BLOCK:
        return torch.topk(scaled, min(width, size), dim=-1)
    # They lie in the blocks with the greatest maxima: one pass over the row, and a short search.
    blocks = scaled.view(rows, -1, _BLOCK)
    places = torch.topk(blocks.amax(-1), width, dim=-1).indices  # [P, K]
    found = blocks.gather(1, places.unsqueeze(-1).expand(-1, -1, _BLOCK)).flatten(1)
    values, at = torch.topk(found, width, dim=-1)
    return values, places.gather(-1, at // _BLOCK) * _BLOCK + at % _BLOCK


def _kept(
    scaled: torch.Tensor, top_p: float, width: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The ``width`` likeliest tokens of rows [P, V]: logits [P, K], -inf outside the nucleus; ids
    [P, K]; the mass they cover [P]."""
    values, indices = _top(scaled, width)
    # Faster than a logsumexp, and the largest share cannot vanish.
    mass = torch.softmax(scaled, dim=-1).gather(-1, indices)
    before = mass.cumsum(-1) - mass  # of the likelier tokens; the one that crosses top_p is kept
    return values.masked_fill(before >= top_p, -torch.inf), indices, before[..., -1] + mass[..., -1]


def nucleus(
    logits: torch.Tensor, temperature: float, top_p: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The nucleus of each row: the smallest set of likeliest tokens with mass >= top_p.

    ``logits`` [P, V] -> (scaled logits [P, K], best first, -inf outside the nucleus; token
    ids [P, K]). K is as small as the rows allow.
    """
    if top_p >= 1:
        values, indices = torch.sort(logits.float() / temperature, dim=-1, descending=True)
        return values, indices
    parts = [
        _kept(some.float() / temperature, top_p, _HEAD) for some in torch.split(logits, _CHUNK)
    ]
    values, indices, covered = (torch.cat(column) for column in zip(*parts, strict=True))
    wide = (covered < top_p).nonzero().squeeze(-1)  # rows whose nucleus is wider than the head
    if len(wide):
        more = logits.shape[-1] - values.shape[-1]
        values = torch.nn.functional.pad(values, (0, more), value=-torch.inf)
        indices = torch.nn.functional.pad(indices, (0, more))
        scaled = logits[wide].float() / temperature
        values[wide], indices[wide], _ = _kept(scaled, top_p, scaled.shape[-1])
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
    part = narrow(logits, tokens, temperature, top_p, plain)
    rest = (~part.rows).nonzero().squeeze(-1)
    if not len(rest):
        return part.log_probs
    rest_logits, plain = logits[rest], plain[rest]
    rest_log_probs = _whole_log_prob(rest_logits, tokens[rest], _temperatures(plain, temperature))
    wide = ((part.covered[rest] < top_p) & ~plain).nonzero().squeeze(-1)
    if len(wide):
        wide_log_probs = _wide_log_prob(rest_logits[wide], tokens[rest[wide]], temperature, top_p)
        rest_log_probs = rest_log_probs.index_put((wide,), wide_log_probs)
    return part.log_probs.index_put((rest,), rest_log_probs)


@dataclass(frozen=True)
class Narrow:
    """Rows by the K likeliest tokens and their own; right where the nucleus lies in those."""

    ids: torch.Tensor  # [P, K + 1]: the likeliest, and last the token itself
    scaled: torch.Tensor  # [P, K + 1]: logits at temperature T
    kept: torch.Tensor  # [P, K]: which are in the nucleus
    covered: torch.Tensor  # [P]: mass of the likeliest
    rows: torch.Tensor  # [P]: for which rows that is right

    @property
    def log_probs(self) -> torch.Tensor:
        """log p of the tokens, [P]."""
        return self.scaled[:, -1] - torch.logsumexp(self._nucleus, dim=-1)

    @property
    def _nucleus(self) -> torch.Tensor:
        return self.scaled[:, :-1].masked_fill(~self.kept, -torch.inf)

    def slopes(self, temperature: float) -> torch.Tensor:
        """d log p / d logit of ``ids``, [P, K + 1]; a token that stands there twice has two."""
        return torch.nn.functional.pad(-torch.softmax(self._nucleus, -1), (0, 1), value=1.0).div(
            temperature
        )


def narrow(
    logits: torch.Tensor,
    tokens: torch.Tensor,
    temperature: float,
    top_p: float,
    plain: torch.Tensor,
) -> Narrow:
    """What :func:`log_prob` needs where the nucleus is narrow."""
    likeliest, kept, covered = _head(logits.detach(), temperature, top_p)
    inside = (likeliest == tokens.unsqueeze(-1)).logical_and(kept).any(-1)  # [P]
    ids = torch.cat([likeliest, tokens.unsqueeze(-1)], dim=-1)
    scaled = logits.gather(-1, ids).float() / temperature
    rows = (covered >= top_p).logical_and(inside).logical_and(~plain)
    return Narrow(ids, scaled, kept, covered, rows)


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
