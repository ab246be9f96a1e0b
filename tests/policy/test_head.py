"""The head's own scoring gives the values and gradients of whole logits, without holding those."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import CohereConfig, CohereForCausalLM, Gemma2Config, Gemma2ForCausalLM

from falcon.policy.head import Head
from falcon.policy.likelihood import Group, score
from falcon.policy.nucleus import entropy, log_prob
from falcon.policy.policy import Policy
from tests.models import load_tiny, tiny_of

TOKENS, WIDTH, VOCABULARY = 300, 24, 704


def given(sharpness: float) -> tuple[Head, torch.nn.Linear, torch.Tensor, torch.Tensor]:
    """A head, its layer, states [P, H] and tokens [P]; the sharper, the narrower the nuclei."""
    generator = torch.Generator().manual_seed(0)
    layer = torch.nn.Linear(WIDTH, VOCABULARY, bias=False).requires_grad_(False)
    layer.weight.copy_(torch.randn(VOCABULARY, WIDTH, generator=generator) * sharpness)
    states = torch.randn(TOKENS, WIDTH, generator=generator)
    tokens = layer(states).topk(3, dim=-1).indices[:, 1]
    tokens[::7] = torch.randint(0, VOCABULARY, tokens[::7].shape, generator=generator)
    return Head(layer), layer, states, tokens


@pytest.mark.parametrize("sharpness", [0.02, 0.3, 1.5])  # nuclei of 600, dozens, and few tokens
@pytest.mark.parametrize("top_p", [0.9, 1.0])
def test_scores_are_those_of_whole_logits(sharpness: float, top_p: float) -> None:
    head, layer, states, tokens = given(sharpness)
    plain = torch.arange(TOKENS) % 5 == 0
    weights = torch.linspace(-1, 2, TOKENS)

    mine = states.clone().requires_grad_()
    found, found_entropy = head.score(mine, tokens, 0.7, top_p, plain)
    (found * weights).sum().backward()
    whole = states.clone().requires_grad_()
    wanted = log_prob(layer(whole), tokens, 0.7, top_p, plain)
    (wanted * weights).sum().backward()

    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(mine.grad, whole.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found_entropy, entropy(layer(states), 0.7), rtol=1e-5, atol=1e-5)


class _Largest(TorchDispatchMode):
    """Notes the greatest number of elements of any tensor that is made."""

    elements = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


@pytest.mark.parametrize("top_p", [0.9, 1.0])
def test_logits_of_all_tokens_are_never_there_at_once(top_p: float) -> None:
    head, _, states, tokens = given(0.3)
    states.requires_grad_()
    with _Largest() as largest:
        found, _ = head.score(states, tokens, 0.7, top_p, torch.zeros(TOKENS, dtype=torch.bool))
        found.sum().backward()
    assert 0 < largest.elements < TOKENS * VOCABULARY


def test_a_gradient_of_the_gradient_is_refused() -> None:
    head, _, states, tokens = given(0.3)
    states.requires_grad_()
    found, _ = head.score(states, tokens, 0.7, 0.9, torch.zeros(TOKENS, dtype=torch.bool))
    (first,) = torch.autograd.grad(found.square().sum(), states, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize("cap", [0.5, 30.0])  # 30 hardly changes the logits of so small a model
def test_a_model_that_bends_its_logits_is_scored_by_them(tmp_path: Path, cap: float) -> None:
    config = Gemma2Config(
        vocab_size=360, hidden_size=32, intermediate_size=48, num_hidden_layers=2, head_dim=8,
        num_attention_heads=4, num_key_value_heads=2, final_logit_softcapping=cap,
    )  # fmt: skip
    policy = load_tiny(tiny_of(Gemma2ForCausalLM(config), tmp_path))
    prompt, completion = (5, 9, 31), (70, 12, 44)
    found = score(
        policy, [Group(prompt, (completion,), 0, (0,))], None, temperature=0.8, top_p=1.0
    ).log_probs
    assert policy.head.is_last is False
    with torch.no_grad(), policy.bank.use(None):
        logits = policy.model(input_ids=torch.tensor([prompt + completion])).logits[0, 2:-1]
    wanted = torch.log_softmax(logits / 0.8, -1).gather(-1, torch.tensor([completion]).T)
    torch.testing.assert_close(found, wanted.squeeze(-1), rtol=0, atol=1e-5)


def test_tiny_models_are_scored_by_states(causal: Policy) -> None:
    score(causal, [Group((5,), ((9,),), 0, (0,))], None, temperature=1.0, top_p=1.0)
    assert causal.head.is_last


def test_a_model_that_scales_its_logits_is_scored_by_them(tmp_path: Path) -> None:
    config = CohereConfig(
        vocab_size=360, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, logit_scale=0.25,
    )  # fmt: skip
    policy = load_tiny(tiny_of(CohereForCausalLM(config), tmp_path))
    row = Group((5, 9, 31), ((70, 12, 44),), 0, (0,))
    found = score(policy, [row], None, temperature=0.8, top_p=1.0).log_probs
    assert policy.head.is_last is False  # seen in the pass
    with torch.no_grad(), policy.bank.use(None):
        logits = policy.model(input_ids=torch.tensor([(5, 9, 31, 70, 12, 44)])).logits[0, 2:-1]
    wanted = torch.log_softmax(logits / 0.8, -1).gather(-1, torch.tensor([(70, 12, 44)]).T)
    torch.testing.assert_close(found, wanted.squeeze(-1), rtol=0, atol=1e-5)
