"""Keys and values of rows that come and go, and the attention over them.

A prompt is read once and kept in one place for all of its samples; what a row writes itself is
in a slot of its own. So a row that ends is replaced in its slot without copying any other, and
rows of unequal length stand side by side without padding on the left. For models in which every
layer attends to all earlier tokens.

Shapes: R rows, P prompts, H query heads, K key heads, G = H / K, L tokens of the longest prompt,
T tokens of the longest row, d the width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

_STEP = 32
"""Lengths are rounded up to a multiple of this: fewer shapes, and fewer times that slots grow."""


def grows(config: Any) -> bool:
    """Whether every layer of a decoder-only model attends to all earlier tokens."""
    layers = getattr(config, "layer_types", None)
    if layers:
        return all(kind == "full_attention" for kind in layers)
    window = getattr(config, "sliding_window", None)
    return not (window and getattr(config, "use_sliding_window", True))


@dataclass
class _Layer:
    """Keys and values of one layer: those of prompts [P, K, L, d], of rows [R, K, T, d]."""

    prompt_keys: torch.Tensor
    prompt_values: torch.Tensor
    row_keys: torch.Tensor
    row_values: torch.Tensor

    def tensors(self) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
        """(keys, values) of prompts and of rows."""
        return (
            (self.prompt_keys, self.prompt_values),
            (self.row_keys, self.row_values),
        )


class KeyValues:
    """The cache of one batch. ``prompts`` and ``rows`` are the slots there are, ``length`` the
    longest prompt and ``most`` the longest row that there may be.

    The caller says what the next forward pass is by :meth:`reading` or :meth:`writing`; the
    attention function of each layer then calls :meth:`attend`.
    """

    def __init__(self, prompts: int, rows: int, length: int, most: int) -> None:
        self._room = (prompts, rows, _rounded(length), _rounded(most))
        self._layers: dict[int, _Layer] = {}
        self._prompt_lengths = torch.zeros(prompts, dtype=torch.long)
        self._into: list[int] = []
        self._step: _Step | None = None

    @property
    def layers(self) -> int:
        """Layers that have been here so far."""
        return len(self._layers)

    def reading(self, slots: Sequence[int], lengths: Sequence[int]) -> None:
        """The next pass reads prompts into these slots; they are padded on the right."""
        self._into, self._step = list(slots), None
        self._prompt_lengths[self._into] = torch.tensor(lengths)

    def writing(self, step: _Step) -> None:
        """The next pass feeds one token a row."""
        self._step = step

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
            for tensor in (layer.row_keys, layer.row_values):
                tensor[target, :, :length] = tensor[source, :, :length]

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
        for (buffer, _), new in ((kept.tensors()[0], key), (kept.tensors()[0][::-1], value)):
            buffer[into, :, :n] = new.to(buffer.dtype)
        # Padding is on the right, and a token sees only what is on its left.
        groups = query.shape[1] // key.shape[1]
        out = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, scale=scale, is_causal=True, enable_gqa=groups > 1
        )
        return out.transpose(1, 2)

    def _new_layer(self, key: torch.Tensor, value: torch.Tensor) -> _Layer:
        prompts, rows, length, most = self._room
        # On a CPU in float32: products of that are as fast there at these sizes as those of
        # bfloat16, and their results are not rounded.
        dtype = torch.float32 if key.device.type == "cpu" else key.dtype

        def empty(n: int, tokens: int, like: torch.Tensor) -> torch.Tensor:
            # Zeros, and not what the memory held: a NaN times a weight of 0 is NaN.
            return like.new_zeros(n, like.shape[1], tokens, like.shape[3], dtype=dtype)

        return _Layer(
            empty(prompts, length, key),
            empty(prompts, length, value),
            empty(rows, most, key),
            empty(rows, most, value),
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
    layer.row_keys[step.rows, :, step.position] = key[:, :, 0].to(layer.row_keys.dtype)
    layer.row_values[step.rows, :, step.position] = value[:, :, 0].to(layer.row_values.dtype)
    q = query.reshape(rows, groups, heads // groups, width).to(layer.row_keys.dtype) * scale
    out, peak, mass = _part(
        q,
        layer.row_keys[:rows, :, : step.longest_row],
        layer.row_values[:rows, :, : step.longest_row],
        step.row_bias,
    )
    keys = layer.prompt_keys[: step.prompts, :, : step.longest_prompt]
    values = layer.prompt_values[: step.prompts, :, : step.longest_prompt]
    if step.gather is None:
        shared_out, shared_peak, shared_mass = _part(q, keys, values, step.prompt_bias)
    else:
        # The rows of a prompt stand beside the heads of a group: [P, K, n * G, d].
        n = len(step.gather) // step.prompts
        laid = q[step.gather].view(step.prompts, n, groups, heads // groups, width)
        laid = laid.transpose(1, 2).flatten(2, 3)
        shared_out, shared_peak, shared_mass = (
            part.view(step.prompts, groups, n, heads // groups, -1)
            .transpose(1, 2)
            .flatten(0, 1)[step.scatter]
            for part in _part(laid, keys, values, step.prompt_bias)
        )
    highest = torch.maximum(peak, shared_peak)  # [R, K, G, 1]
    weight, shared_weight = torch.exp(peak - highest), torch.exp(shared_peak - highest)
    total = mass * weight + shared_mass * shared_weight
    out = (out * weight + shared_out * shared_weight) / total
    return out.reshape(rows, 1, heads, -1).to(query.dtype)


def _part(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(values weighted by exp(score - peak), peak, sum of these weights) of every query."""
    scores = torch.matmul(query, keys.transpose(2, 3)) + bias
    peak = scores.amax(-1, keepdim=True).float()
    weights = torch.exp(scores - peak)
    mass = weights.sum(-1, keepdim=True, dtype=torch.float32)
    return torch.matmul(weights.to(values.dtype), values), peak, mass
