"""A key-value cache that grows in place instead of being copied at every token.

The library's dynamic cache concatenates, so each token copies everything before it; on a
CPU that is a large part of decoding. For full attention only: models with sliding windows keep
the library's own layers.

Shapes: R rows, S tokens so far, L new tokens, d the width of a head.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

_STEP = 64
"""Tokens by which a buffer grows: one copy every 64 tokens instead of one a token."""


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values [R, heads, S, d] as views of a buffer with room for more tokens."""

    keys: torch.Tensor
    values: torch.Tensor
    _key_buffer: torch.Tensor | None = None
    _value_buffer: torch.Tensor | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append [R, heads, L, d] and return all keys and values so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        length = self.get_seq_length()
        need = length + key_states.shape[-2]
        k, v = self._key_buffer, self._value_buffer
        if k is None or v is None or len(k) != len(key_states) or k.shape[-2] < need:
            k = self._key_buffer = self._grown(self.keys, key_states, length, need)
            v = self._value_buffer = self._grown(self.values, value_states, length, need)
        k[:, :, length:need] = key_states
        v[:, :, length:need] = value_states
        # The library reads these two; as views they cost nothing and share the buffer's memory.
        self.keys, self.values = k[:, :, :need], v[:, :, :need]  # [R, heads, S, d]
        return self.keys, self.values

    def reserve(self, tokens: int) -> None:
        """Make room for this many more tokens now."""
        length = self.get_seq_length()
        k = self._key_buffer = self._grown(self.keys, self.keys, length, length + tokens)
        v = self._value_buffer = self._grown(self.values, self.values, length, length + tokens)
        self.keys, self.values = k[:, :, :length], v[:, :, :length]

    @staticmethod
    def _grown(old: torch.Tensor, new: torch.Tensor, length: int, need: int) -> torch.Tensor:
        rows, heads, _, width = new.shape
        buffer = new.new_empty(rows, heads, (need // _STEP + 1) * _STEP, width)
        if length:
            buffer[:, :, :length] = old
        return buffer

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row; the buffer is made anew at the next update."""
        super().batch_repeat_interleave(repeats)
        self._key_buffer = self._value_buffer = None

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep only the rows of ``indices``; the buffer is made anew at the next update."""
        super().batch_select_indices(indices)
        self._key_buffer = self._value_buffer = None


def new_cache(config: Any) -> Cache:
    """An empty cache for a decoder-only model: growing where every layer attends to all tokens."""
    if not grows(config):
        return DynamicCache(config=config)
    return Cache(layer_class_to_replicate=GrowingLayer)


def joined(caches: Sequence[Cache], width: int) -> Cache:
    """One cache of the rows of all, each [R, heads, S, d], padded on the left to ``width``.

    The padding is zero, and the caller's mask must hide it. Caches of models with sliding windows
    hold one window each: only a single one can be "joined".
    """
    if len(caches) == 1:
        return caches[0]
    result = Cache(layer_class_to_replicate=GrowingLayer)
    for index in range(len(caches[0].layers)):
        parts = [cache.layers[index] for cache in caches]
        keys = torch.cat([_padded(part.keys, width) for part in parts])
        values = torch.cat([_padded(part.values, width) for part in parts])
        result.update(keys, values, index)
        for cache in caches:
            cache.layers[index] = None  # frees it now: else all layers would be held twice
    return result


def _padded(rows: torch.Tensor, width: int) -> torch.Tensor:
    # Pairs count from the last dimension: none of d, S on its left.
    return torch.nn.functional.pad(rows, (0, 0, width - rows.shape[-2], 0))


def grows(config: Any) -> bool:
    """Whether every layer of a decoder-only model attends to all earlier tokens."""
    config = config.get_text_config()  # of models that see or hear as well
    layers = getattr(config, "layer_types", None) or getattr(config, "attention_layers", None)
    if layers:
        return all(kind in ("full_attention", "global") for kind in layers)
    window = getattr(config, "sliding_window", None)
    return not (window and getattr(config, "use_sliding_window", True))


def packs(model: Any) -> bool:
    """Whether completions of one prompt may share a row of a decoder-only model.

    So where mask and positions alone decide what a token sees. A ready mask drops sliding windows,
    recurrent layers read whatever stands before, and ALiBi counts the tokens between.
    """
    positions = "position_ids" in inspect.signature(model.forward).parameters
    return grows(model.config) and positions and not getattr(model.config, "alibi", False)
