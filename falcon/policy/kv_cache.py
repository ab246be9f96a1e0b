"""Keys and values of rows that come and go, and the attention over them.

A prompt is read once and kept in one place for all of its samples; what a row writes itself is
in a slot of its own. So a row that ends is replaced in its slot without copying any other, and
rows of unequal length stand side by side without padding on the left. For models in which every
layer attends to all earlier tokens.

Shapes: R rows, P prompts, H query heads, K key heads, G = H / K, L tokens of the longest prompt,
T tokens of the longest row, d the width of a head.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

_STEP = 32
"""Lengths are rounded up to a multiple of this: fewer shapes, and fewer times that slots grow."""


@dataclass
class _Layer:
    """Of one layer: keys and values [P, K, L, d] of prompts; of rows keys [R, K, d, T], as the
    product with few queries reads them fastest, and values [R, K, T, d]."""

    prompt_keys: torch.Tensor
    prompt_values: torch.Tensor
    row_keys: torch.Tensor
    row_values: torch.Tensor

    def fit(self, step: _Step) -> None:
        """Make the buffers as long as their longest texts: of a part of one, the library makes a
        copy before each product."""
        if self.row_values.shape[2] != step.longest_row:
            self.row_keys = _resized(self.row_keys, 3, step.longest_row)
            self.row_values = _resized(self.row_values, 2, step.longest_row)
        if self.prompt_values.shape[2] != step.longest_prompt:
            self.prompt_keys = _resized(self.prompt_keys, 2, step.longest_prompt)
            self.prompt_values = _resized(self.prompt_values, 2, step.longest_prompt)


def _resized(buffer: torch.Tensor, dimension: int, length: int) -> torch.Tensor:
    """A copy of a buffer that is shorter or longer in one dimension."""
    kept = min(buffer.shape[dimension], length)
    new = buffer.new_zeros(*buffer.shape[:dimension], length, *buffer.shape[dimension + 1 :])
    new.narrow(dimension, 0, kept).copy_(buffer.narrow(dimension, 0, kept))
    return new


class KeyValues:
    """The cache of one batch. ``prompts`` and ``rows`` are the slots there are, and ``length`` is
    the longest prompt that there will be.

    The caller says what the next forward pass is by :meth:`reading` or :meth:`writing`; the
    attention function of each layer then calls :meth:`attend`.
    """

    def __init__(self, prompts: int, rows: int, length: int) -> None:
        self._room = (prompts, rows, _rounded(length))
        self._layers: dict[int, _Layer] = {}
        self._prompt_lengths = torch.zeros(prompts, dtype=torch.long)
        self._into: list[int] = []
        self._step: _Step | None = None

    @property
    def layers(self) -> int:
        """Layers that have been here so far."""
        return len(self._layers)

    @property
    def token_bytes(self) -> int:
        """Bytes that a token's keys and values take in those layers."""
        return sum(
            kept[0, :, 0].nbytes
            for layer in self._layers.values()
            for kept in (layer.prompt_keys, layer.prompt_values)
        )

    def reading(self, slots: Sequence[int], lengths: Sequence[int]) -> None:
        """The next pass reads prompts into these slots; they are padded on the right."""
        self._into, self._step = list(slots), None
        self._prompt_lengths[self._into] = torch.tensor(lengths)

    def writing(self, step: _Step) -> None:
        """The next pass feeds one token a row."""
        self._step = step
        for layer in self._layers.values():
            layer.fit(step)

    def step(
        self, prompt: Sequence[int], length: torch.Tensor, prompts: int, device: torch.device
    ) -> _Step:
        """A step of R rows: the prompt's slot of each, and how many tokens each has, [R].

        ``prompts`` is the number of slots in use, from the first.
        """
        return _Step.of(list(prompt), length, self._prompt_lengths[:prompts], device)

    def move_rows(self, source: int, target: int, length: int) -> None:
        """Copy a row's first ``length`` tokens into another slot."""
        for layer in self._layers.values():
            layer.row_keys[target, ..., :length] = layer.row_keys[source, ..., :length]
            layer.row_values[target, :, :length] = layer.row_values[source, :, :length]

    def move_prompt(self, source: int, target: int) -> None:
        """Copy a prompt into another slot."""
        self._prompt_lengths[target] = self._prompt_lengths[source]
        for layer in self._layers.values():
            for tensor in (layer.prompt_keys, layer.prompt_values):
                tensor[target] = tensor[source]

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Keep the new keys and values [*, K, n, d] and attend; ``query`` [*, H, n, d].

        Returns [*, n, H, d].
        """
        if layer not in self._layers:
            self._layers[layer] = self._new_layer(key, value)
        kept = self._layers[layer]
        if self._step is not None:
            return _attend_step(kept, self._step, query, key, value, scale)
        n = key.shape[2]
        into = torch.tensor(self._into, device=key.device)
        if n > kept.prompt_values.shape[2]:
            kept.prompt_keys = _resized(kept.prompt_keys, 2, _rounded(n))
            kept.prompt_values = _resized(kept.prompt_values, 2, _rounded(n))
        kept.prompt_keys[into, :, :n] = key
        kept.prompt_values[into, :, :n] = value
        # Padding is on the right, and a token sees only what is on its left.
        groups = query.shape[1] // key.shape[1]
        out = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, scale=scale, is_causal=True, enable_gqa=groups > 1
        )
        return out.transpose(1, 2)

    def _new_layer(self, key: torch.Tensor, value: torch.Tensor) -> _Layer:
        prompts, rows, length = self._room
        heads, width, value_width = key.shape[1], key.shape[3], value.shape[3]
        # Zeros, and not what the memory held: a NaN times a weight of 0 is NaN.
        return _Layer(
            key.new_zeros(prompts, heads, length, width),
            key.new_zeros(prompts, heads, length, value_width),
            key.new_zeros(rows, heads, width, _STEP),
            key.new_zeros(rows, heads, _STEP, value_width),
        )


@dataclass(frozen=True)
class _Step:
    """What one step of decoding needs in every layer.

    ``gather`` [P * n] names the row in each place of the prompts' layout [P, n], and ``scatter``
    [R] the place of each row; both None where row i is the only one of prompt i.
    """

    rows: torch.Tensor  # [R]
    position: torch.Tensor  # [R], where the new token is written
    prompts: int
    gather: torch.Tensor | None
    scatter: torch.Tensor | None
    longest_prompt: int
    longest_row: int
    prompt_bias: torch.Tensor  # [P, 1, 1, L]: 0, or -inf behind the prompt's end
    row_bias: torch.Tensor  # [R, 1, 1, T]

    @classmethod
    def of(
        cls,
        prompt: list[int],
        length: torch.Tensor,
        prompt_lengths: torch.Tensor,
        device: torch.device,
    ) -> _Step:
        rows, prompts = len(prompt), len(prompt_lengths)
        longest_prompt = _rounded(int(prompt_lengths.max()))
        longest_row = _rounded(int(length.max()) + 1)
        gather = scatter = None
        if prompt != list(range(prompts)):
            counts = [0] * prompts
            slot = []
            for p in prompt:
                slot.append(counts[p])
                counts[p] += 1
            n = max(counts)
            scatter = torch.tensor([p * n + s for p, s in zip(prompt, slot, strict=True)])
            gather = torch.zeros(prompts * n, dtype=torch.long)
            gather[scatter] = torch.arange(rows)
            gather, scatter = gather.to(device), scatter.to(device)
        return cls(
            torch.arange(rows, device=device),
            length.to(device),
            prompts,
            gather,
            scatter,
            longest_prompt,
            longest_row,
            _bias(prompt_lengths, longest_prompt).to(device),
            _bias(length + 1, longest_row).to(device),
        )

    def advanced(self, length: torch.Tensor) -> _Step:
        """The step after, of the same rows, each of which has ``length`` tokens now, [R]."""
        longest_row = _rounded(int(length.max()) + 1)
        device = self.rows.device
        bias = _bias(length + 1, longest_row).to(device)
        return replace(self, position=length.to(device), longest_row=longest_row, row_bias=bias)


def _bias(lengths: torch.Tensor, longest: int) -> torch.Tensor:
    """Additive mask [n, 1, 1, longest] that hides what is behind each length."""
    hidden = torch.arange(longest) >= lengths.unsqueeze(1)  # [n, longest]
    return torch.zeros(hidden.shape).masked_fill_(hidden, -torch.inf)[:, None, None]


def _rounded(length: int) -> int:
    return -(-length // _STEP) * _STEP


def _attend_step(
    layer: _Layer,
    step: _Step,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
) -> torch.Tensor:
    """One query a row: over its prompt, read once for all its rows, and over what it wrote.

    The two are joined by the masses of their softmaxes, as if they were one.
    """
    rows, heads, _, width = query.shape
    groups = key.shape[1]
    layer.row_keys[step.rows, ..., step.position] = key[:, :, 0]
    layer.row_values[step.rows, :, step.position] = value[:, :, 0]
    # The heads of a group stand where tokens stand elsewhere: all of them read the same keys.
    q = query.reshape(rows, groups, heads // groups, width)
    own, own_mass = part(q, layer.row_keys[:rows], layer.row_values[:rows], step.row_bias, scale)
    fused = can_fuse(query)
    keys = layer.prompt_keys[: step.prompts].transpose(2, 3)
    values = layer.prompt_values[: step.prompts]
    if step.gather is None or step.scatter is None:
        shared, shared_mass = part(q, keys, values, step.prompt_bias, scale, fused=fused)
    else:
        # The rows of a prompt stand beside the heads of a group: [P, K, n * G, d].
        n = len(step.gather) // step.prompts
        laid = q[step.gather].view(step.prompts, n, groups, heads // groups, width)
        laid = laid.transpose(1, 2).flatten(2, 3)
        found = part(laid, keys, values, step.prompt_bias, scale, fused=fused)
        shared, shared_mass = (
            each.view(step.prompts, groups, n, heads // groups, *each.shape[3:])
            .transpose(1, 2)
            .flatten(0, 1)[step.scatter]
            for each in found
        )
    share = torch.sigmoid(shared_mass - own_mass).unsqueeze(-1)  # of the prompt, [R, K, G, 1]
    out = torch.lerp(own.float(), shared.float(), share)
    return out.reshape(rows, 1, heads, -1).to(query.dtype)


def part(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor,
    scale: float,
    *,
    fused: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention of queries [..., d] to keys [..., d, n] and values [..., n, d].

    Returns the mean of values by the softmax of scores, [..., d], and the logarithm of the sum of
    exponentials that it divides by, [...], in float32. ``fused``: by one operation, what the
    library's own attention is made of. It is faster for many queries and slower for few.
    """
    if fused:
        out: tuple[torch.Tensor, torch.Tensor]
        out = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query,
            keys.transpose(2, 3),
            values,
            0.0,
            False,
            attn_mask=bias.to(query.dtype),
            scale=scale,
        )
        return out
    scores = torch.add(bias, torch.matmul(query, keys), alpha=scale)  # float32, as the bias is
    top = scores.amax(-1, keepdim=True)
    weights = scores.sub_(top).exp_()
    total = weights.sum(-1, keepdim=True)
    mean = torch.matmul(weights.to(values.dtype), values) / total
    return mean, (top + total.log()).squeeze(-1)


@functools.cache
def _has_flash(dtype: torch.dtype) -> bool:
    """Whether the operation, which is no public one, is there and gives what the plain one does."""
    query = torch.tensor([[[[1.0, -1.0], [0.5, 2.0]]]]).to(dtype).tile(1, 1, 1, 8)
    keys, bias = query.flip(3).transpose(2, 3), torch.tensor([[[[0.0, -torch.inf]]]])
    with torch.inference_mode():
        try:
            found = part(query, keys, query, bias, 0.25, fused=True)
        except (AttributeError, RuntimeError, TypeError):
            return False
        wanted = part(query, keys, query, bias, 0.25)
    return all(
        torch.allclose(a.float(), b.float(), atol=0.02) for a, b in zip(found, wanted, strict=True)
    )


def can_fuse(query: torch.Tensor) -> bool:
    """Whether :func:`part` can be one operation for such queries."""
    return query.device.type == "cpu" and _has_flash(query.dtype)
