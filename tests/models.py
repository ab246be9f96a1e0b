"""Tiny models made on the spot: a Llama and a T5 with a byte-level tokenizer, in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from falcon.config import PolicySettings
from falcon.policy.pairs import Pairs
from falcon.policy.policy import Policy

CORPUS = (
    "def add(a, b):\n    return a + b\n",
    "def total(xs):\n    result = 0\n    for x in xs:\n        result += x\n    return result\n",
    "if x > 0:\n\tprint('yes')\nelse:\n\tprint('no')\n",
    "Write a Python function named `add` that gives the sum of two numbers.\n\n```python\n",
    "Complete this function: the answer must pass the tests below.   \n",
)
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
END = "<|im_end|>"
PAD = "<|pad|>"


def _tokenizer(chat: bool) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=[PAD, END, "<|im_start|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(CORPUS, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=END, pad_token=PAD, clean_up_tokenization_spaces=False
    )
    if chat:
        tokenizer.chat_template = CHAT
    return tokenizer


def _save(model: Any, tokenizer: Any, folder: Path, spread: float) -> Path:

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:  # larger than the default, so that choices are clear
                parameter.normal_(0, spread)
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_causal(
    folder: Path,
    *,
    chat: bool = False,
    seed: int = 0,
    spread: float = 0.15,
    heads: int = 2,
    width: int = 32,
) -> Path:
    """A two-layer Llama of ``width`` with grouped queries; ``chat`` gives it a chat template."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    tokenizer = _tokenizer(chat)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=heads,
        max_position_embeddings=1024,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return _save(LlamaForCausalLM(config), tokenizer, folder, spread)


def tiny_seq2seq(
    folder: Path, *, seed: int = 0, spread: float = 0.3, activation: str = "relu"
) -> Path:
    """A two-layer T5 of width 32 without dropout."""
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(seed)
    tokenizer = _tokenizer(chat=False)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        feed_forward_proj=activation,
        decoder_start_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return _save(T5ForConditionalGeneration(config), tokenizer, folder, spread)


def tiny_of(model: Any, folder: Path, spread: float = 0.15) -> Path:
    """A folder of any decoder-only model of the library, with a tokenizer of 360 tokens at most."""
    return _save(model, _tokenizer(chat=False), folder, spread)


def load_tiny(model: Path, *, second_order: bool = False, **changes: object) -> Policy:
    torch.set_num_threads(1)
    settings = PolicySettings.model_validate(
        {"model": str(model), "dtype": "float32", "lora_rank": 4, "lora_alpha": 8.0} | changes
    )
    return Policy.load(settings, seed=3, second_order=second_order)


def stir(policy: Policy, seed: int = 1, size: float = 0.1) -> None:
    """Give the adapter weights that change what the model says."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.bank.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * size)


def own_weights(policy: Policy, tasks: int, seed: int = 2) -> Pairs:
    """Stacked fast weights that are another for each task."""
    generator = torch.Generator().manual_seed(seed)
    stacked = policy.bank.stack(tasks)
    return {
        name: tuple(t.detach() + torch.randn(t.shape, generator=generator) * 0.1 for t in pair)  # type: ignore[misc]
        for name, pair in stacked.items()
    }


def of_task(pairs: Pairs, task: int) -> Pairs:
    return {name: (a[task], b[task]) for name, (a, b) in pairs.items()}


WINDOW = 8


def tiny_other(folder: Path, kind: str, seed: int = 0) -> Path:
    """A two-layer decoder of another architecture; those with windows see ``WINDOW`` tokens."""
    import transformers

    torch.manual_seed(seed)
    tokenizer = _tokenizer(chat=False)
    names = {"vocab_size": len(tokenizer), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
    new = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "sliding_window": WINDOW,
    }
    old = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "rotary_dim": 4}
    neo = {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "window_size": WINDOW}
    special: dict[str, dict[str, Any]] = {
        "Mistral": new,
        "Gemma2": new | {"query_pre_attn_scalar": 8, "attn_logit_softcapping": 2.0},
        "CodeGen": old,
        "GPTJ": old,
        "GPTNeo": neo | {"attention_types": [[["global", "local"], 1]]},
        "Falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
        "Bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    }
    config = getattr(transformers, f"{kind}Config")(**names, **special[kind])
    model = getattr(transformers, f"{kind}ForCausalLM")(config)
    return _save(model, tokenizer, folder, 0.3)
