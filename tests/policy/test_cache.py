from __future__ import annotations

import torch
from transformers import LlamaConfig, MistralConfig
from transformers.cache_utils import DynamicCache, DynamicLayer

from falcon.policy.kv_cache import GrowingLayer, new_cache


def states(rows: int, length: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, 2, length, 4)
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


def test_growing_layer_equals_the_library_through_all_its_life() -> None:
    ours, theirs = GrowingLayer(), DynamicLayer()
    rows, seed = 2, 0

    def update(length: int) -> None:
        nonlocal seed
        seed += 1
        for found, wanted in zip(
            ours.update(*states(rows, length, seed)),
            theirs.update(*states(rows, length, seed)),
            strict=True,
        ):
            assert torch.equal(found, wanted)
        assert ours.get_seq_length() == theirs.get_seq_length()

    update(60)
    update(1)
    for layer in (ours, theirs):
        layer.batch_repeat_interleave(3)
    rows = 6
    for _ in range(80):  # past the buffer's first and second room
        update(1)
    for layer in (ours, theirs):
        layer.batch_select_indices(torch.tensor([5, 0, 2]))
    rows = 3
    for _ in range(70):
        update(1)
    for layer in (ours, theirs):
        layer.batch_select_indices(torch.tensor([1]))
    rows = 1
    update(3)
    assert ours.get_seq_length() == 60 + 1 + 80 + 70 + 3


def test_tokens_are_appended_without_a_copy() -> None:
    layer = GrowingLayer()
    keys, _ = layer.update(*states(2, 10, 0))
    at = keys.data_ptr()
    for seed in range(1, 20):
        keys, _ = layer.update(*states(2, 1, seed))
        assert keys.data_ptr() == at


def test_select_does_not_write_into_what_others_hold() -> None:
    layer = GrowingLayer()
    keys, _ = layer.update(*states(3, 5, 0))
    before = keys.clone()
    layer.batch_select_indices(torch.tensor([2]))
    layer.update(*states(1, 1, 1))
    assert torch.equal(keys, before)


def test_models_with_sliding_windows_keep_the_library_cache() -> None:
    assert isinstance(new_cache(MistralConfig(sliding_window=16)), DynamicCache)
    full = new_cache(LlamaConfig(num_hidden_layers=1))
    full.update(*states(1, 2, 0), 0)
    assert isinstance(full.layers[0], GrowingLayer)
