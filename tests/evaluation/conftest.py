"""A model of two small layers that has learnt two answers by heart, and problems to score it on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from falcon.config import Settings
from falcon.evaluation import plan
from falcon.policy.adapter import attach, save_adapter
from falcon.policy.backbone import load_backbone
from falcon.problems import Problem
from falcon.prompts.forms import FORMS

RIGHT = "def double(x):\n    return 2 * x"
WRONG = "def triple(x):\n    return x + x"
TEMPLATE = "{% for m in messages %}<user>{{ m['content'] }}{% endfor %}<bot>"


def make_problem(name: str, factor: int, split: str = "test") -> Problem:
    calls = [{"args": [n], "expected": factor * n} for n in (0, 1, 5)]
    tests = {"kind": "call", "entry_point": name, "calls": calls}
    return Problem.model_validate(
        {
            "id": f"builtin/{name}",
            "source": "builtin",
            "split": split,
            "difficulty": "introductory" if factor == 2 else "interview",
            "statement": f"Return {factor} times x.",
            "entry_point": name,
            "tests": tests,
            "solutions": (f"def {name}(x):\n    return {factor} * x",),
        }
    )


PROBLEMS = [make_problem("double", 2), make_problem("triple", 3)]


def _tokenizer(folder: Path, texts: list[str]) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<end>", "<pad>"], initial_alphabet=alphabet
    )
    raw.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", pad_token="<pad>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a model that answers "double" rightly and "triple" wrongly."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("model")
    _tokenizer(folder, [p.statement for p in PROBLEMS] + [RIGHT, WRONG] * 4)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    net = LlamaForCausalLM(config)
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    rows = []
    for problem, program in zip(PROBLEMS, (RIGHT, WRONG), strict=True):
        prompt = tokenizer(FORMS["chat"].text(tokenizer, problem), add_special_tokens=False)[
            "input_ids"
        ]
        target = tokenizer(FORMS["chat"].target(problem, program), add_special_tokens=False)[
            "input_ids"
        ]
        ids = torch.tensor([prompt + target + [tokenizer.eos_token_id]])
        labels = ids.clone()
        labels[:, : len(prompt)] = -100
        rows.append((ids, labels))
    for _ in range(120):
        loss = sum(net(input_ids=ids, labels=labels).loss for ids, labels in rows)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    net.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk is one batch, so that a few problems make several."""
    monkeypatch.setattr(plan, "BATCHES", 1)


def settings_for(model: Path, **benchmark: object) -> Settings:
    return Settings.model_validate(
        {
            "policy": {
                "model": str(model),
                "dtype": "float32",
                "lora_rank": 2,
                "lora_alpha": 4.0,
                "max_prompt_tokens": 400,
            },
            "machine": {"workers": 1, "allow_weak": True, "cache": False},
            "memory": {"encoder": "hash", "min_similarity": -1.0},
            "benchmark": {
                "names": ["builtin"],
                "max_new_tokens": 60,
                "batch_size": 1,
                **benchmark,
            },
        }
    )


def make_adapter(model: Path, folder: Path, *, size: float) -> Path:
    """An adapter whose B is drawn anew, ``size`` large: 0 changes nothing, 1 everything."""
    settings = settings_for(model)
    backbone = load_backbone(settings.policy)
    bank = attach(backbone, rank=2, alpha=4.0, seed=1)
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for b in bank.b:
            b.copy_(size * torch.randn(b.shape, generator=generator))
    save_adapter(bank, backbone, folder, str(model))
    return folder


@pytest.fixture(scope="session")
def still(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that changes nothing."""
    return make_adapter(model, tmp_path_factory.mktemp("still"), size=0.0)


@pytest.fixture(scope="session")
def broken(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that makes the model forget what it knew."""
    return make_adapter(model, tmp_path_factory.mktemp("broken"), size=1.0)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    lines = [json.dumps(p.model_dump(mode="json")) for p in PROBLEMS]
    (folder / "problems.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
