"""Layers that read one input are one product while decoding, and nothing comes out otherwise."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from falcon.policy import kv_cache, packing, siblings
from falcon.policy.pairs import Pairs, RowTasks, cast, with_low_rank
from falcon.policy.policy import Policy
from falcon.policy.siblings import Siblings, seen_in
from tests.models import load_tiny, own_weights, stir, tiny_seq2seq


@pytest.fixture(params=["float32", "bfloat16"])
def packed(
    folders: dict[str, Path], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Policy:
    """A model whose weights are packed."""
    monkeypatch.setattr(packing, "SMALLEST", 0)
    policy = load_tiny(folders["causal"], dtype=request.param)
    stir(policy)
    policy.pack()
    if policy.bank._layers[0].siblings is None:
        pytest.skip("weights are not packed on this machine")
    return policy


def logits(policy: Policy, pairs: Pairs | None) -> torch.Tensor:
    ids = torch.tensor([[7, 30, 31], [9, 8, 200], [50, 51, 52]])
    task = torch.tensor([1, 0, 2]) if pairs and next(iter(pairs.values()))[0].dim() == 3 else None
    with torch.inference_mode(), policy.bank.use(pairs, task):
        out: torch.Tensor = policy.model(input_ids=ids, use_cache=False).logits
    return out.float()


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How wide each product by a packed weight is."""
    widths: list[int] = []
    product = siblings.product

    def count(x: torch.Tensor, form: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        y = product(x, form, bias)
        widths.append(y.shape[-1])
        return y

    with monkeypatch.context() as patched:
        patched.setattr(siblings, "product", count)
        yield widths


def test_siblings_are_seen_in_a_pass(causal: Policy) -> None:
    found = seen_in(causal.model, causal.bank.names)
    leaves = [[name.rsplit(".", 1)[-1] for name in group] for group in found]
    block = [["q_proj", "k_proj", "v_proj"], ["o_proj"], ["gate_proj", "up_proj"], ["down_proj"]]
    assert leaves == block * 2


def test_a_model_that_needs_more_than_tokens_has_none(tmp_path: Path) -> None:
    policy = load_tiny(tiny_seq2seq(tmp_path))
    assert seen_in(policy.model, policy.bank.names) == [[name] for name in policy.bank.names]


@pytest.mark.parametrize("kind", ["bare", "one", "stacked"])
def test_they_give_what_the_layers_give(
    packed: Policy, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = packed.bank
    pairs = {"bare": None, "one": bank.meta(), "stacked": own_weights(packed, 3)}[kind]
    dtype = bank._layers[0].weight.dtype
    own = None if pairs is None else cast(pairs, dtype)
    with counted(monkeypatch) as widths:
        found = logits(packed, None if own is None else bank.joined(own))
    assert len(widths) == 8  # 4 a block, where there are 7 layers
    for layer in bank._layers:
        layer.siblings = None
    wanted = logits(packed, own)
    scale = wanted.abs().max()
    close = 1e-5 if dtype == torch.float32 else 0.03  # the precision is 0.008
    assert (found - wanted).abs().max() < close * scale
    if pairs is not None:
        assert (wanted - logits(packed, None)).abs().max() > 0.1 * scale


def test_sums_are_packed_as_well(packed: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    dtype = packed.bank._layers[0].weight.dtype
    pairs = cast(own_weights(packed, 1), dtype)
    pair = {name: (a[0], b[0]) for name, (a, b) in pairs.items()}
    packed.unpack()
    wanted = logits(packed, pair)
    with packed.fold(pair):
        assert not packed.bank.folded
        with counted(monkeypatch) as widths:
            found = logits(packed, pair)
        assert len(widths) == 8
    close = 1e-5 if dtype == torch.float32 else 0.06  # the sum is rounded as well
    assert (found - wanted).abs().max() < close * wanted.abs().max()
    assert (wanted - logits(packed, None)).abs().max() > 0.1 * wanted.abs().max()
    assert not any(layer.siblings for layer in packed.bank._layers)


def test_pairs_that_are_not_joined_are_used_layer_by_layer(
    packed: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = cast(packed.bank.meta(), packed.bank._layers[0].weight.dtype)
    with counted(monkeypatch) as widths:
        found = logits(packed, pairs)
    assert len(widths) == 4  # those that have no sibling
    assert (found - logits(packed, packed.bank.joined(pairs))).abs().max() < 0.1


def test_another_input_is_not_answered_with_the_first_ones(packed: Policy) -> None:
    query, key, _ = packed.bank._layers[:3]
    same, other = torch.randn(2, 4, 1, query.weight.shape[1]).to(query.weight.dtype)
    with torch.inference_mode(), packed.bank.use(None):
        query(same)
        assert torch.allclose(key(other), key.base(other), atol=0.05)
        query(same)
        assert torch.allclose(key(same), key.base(same), atol=0.05)


def test_a_pass_for_a_gradient_gives_the_copies_up(
    packed: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = logits(packed, None)
    copies = [weakref.ref(layer.siblings) for layer in packed.bank._layers]
    with packed.training_pass():
        pass
    gc.collect()
    assert not any(copy() for copy in copies)
    with counted(monkeypatch) as widths:
        assert torch.allclose(logits(packed, None), before, atol=0.1)
        assert not widths
        packed.pack()
        assert torch.equal(logits(packed, None), before)
        assert len(widths) == 8


def test_small_weights_are_not_worth_a_copy(causal: Policy) -> None:
    causal.pack()
    assert not any(layer.siblings for layer in causal.bank._layers)


def test_joined_pairs_are_the_pairs_of_all(causal: Policy) -> None:
    layers = causal.bank._layers[:3]
    joined = Siblings(layers, torch.empty(0)).join(causal.bank.meta())
    x = torch.randn(5, layers[0].weight.shape[1])
    wanted = [x @ a.T @ b.T for a, b in (causal.bank.meta()[layer.name] for layer in layers)]
    assert torch.allclose(x @ joined[0].T @ joined[1].T, torch.cat(wanted, -1), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_fused_attention_is_the_plain_one(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    query, keys, values = (
        torch.randn(3, 2, n, 16, generator=generator).to(dtype) for n in (6, 40, 40)
    )
    if not kv_cache.can_fuse(query):
        pytest.skip("this build has no such operation")
    bias = torch.zeros(3, 1, 1, 40)
    bias[0, ..., 1:], bias[1, ..., 17:] = -torch.inf, -torch.inf
    found = kv_cache.part(query, keys.transpose(2, 3), values, bias, 0.25, fused=True)
    wanted = kv_cache.part(query, keys.transpose(2, 3), values, bias, 0.25)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert torch.allclose(
            one.float(), other.float(), atol=1e-5 if dtype == torch.float32 else 0.03
        )


@pytest.mark.parametrize("tokens", [1, 4])  # decoding, and reading a prompt
@pytest.mark.parametrize("tasks", [[0, 1, 2], [2, 0, 2, 1, 2, 0]])
def test_joined_stacks_are_each_rows_own_pairs(
    causal: Policy, tokens: int, tasks: list[int]
) -> None:
    layers = causal.bank._layers[:3]
    pairs = own_weights(causal, 3)
    sizes = [layer.weight.shape[0] for layer in layers]
    x = torch.randn(len(tasks), tokens, layers[0].weight.shape[1])
    y = torch.randn(len(tasks), tokens, sum(sizes))
    joined = Siblings(layers, torch.empty(0)).join(pairs)
    found = with_low_rank(y, x, joined, 0.5, RowTasks(torch.tensor(tasks), 3), sizes)
    for row, task in enumerate(tasks):
        own = [pairs[layer.name] for layer in layers]
        wanted = torch.cat([x[row] @ a[task].T @ b[task].T for a, b in own], -1)
        assert torch.allclose(found[row], y[row] + 0.5 * wanted, atol=1e-5)
