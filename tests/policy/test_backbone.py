from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from falcon.config import PolicySettings
from falcon.errors import UserError
from falcon.generation.completion import Draws, Sampling, Weights
from falcon.generation.local import LocalGenerator
from falcon.policy.backbone import (
    EMBEDDED,
    load_backbone,
    load_tokenizer,
    resolve_dtype,
    resolve_source,
)
from falcon.policy.policy import Policy
from falcon.problems import Problem


def refused(model: str) -> str:
    with pytest.raises(UserError) as fault:
        load_backbone(PolicySettings(model=model, dtype="float32"))
    assert "\n" not in str(fault.value)
    return str(fault.value)


def test_unknown_hub_name_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    text = refused("nobody/no-such-model")
    assert "policy.model: nobody/no-such-model cannot be loaded" in text
    assert "HF_HUB_OFFLINE is set" in text


def test_places_that_are_not_there_are_named(tmp_path: Path) -> None:
    assert "no such folder" in refused(str(tmp_path / "gone"))
    assert "no such folder" in refused("./gone")
    assert "the folder holds no config.json" in refused(str(tmp_path))
    assert "no such file" in refused(str(tmp_path / "gone.gguf"))


def test_damaged_models_are_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    for name in ("no-weights", "no-end", "odd", "cut"):
        shutil.copytree(folders["causal"], tmp_path / name)
    (tmp_path / "no-weights" / "model.safetensors").unlink()
    assert "cannot be loaded" in refused(str(tmp_path / "no-weights"))
    settings = tmp_path / "no-end" / "tokenizer_config.json"
    rows = json.loads(settings.read_text())
    rows["eos_token"] = None
    settings.write_text(json.dumps(rows))
    (tmp_path / "no-end" / "special_tokens_map.json").unlink(missing_ok=True)
    assert "no end token" in refused(str(tmp_path / "no-end"))
    (tmp_path / "odd" / "config.json").write_text('{"model_type": "no-such-kind"}')
    assert "cannot be loaded" in refused(str(tmp_path / "odd"))
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    assert "cannot be loaded" in refused(str(tmp_path / "cut"))


def test_file_that_is_no_gguf_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FALCON_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bad.gguf").write_bytes(b"this is no model")
    assert "cannot be loaded" in refused(str(tmp_path / "bad.gguf"))
    assert not list((tmp_path / "cache").rglob("config.json"))


def test_backbone_is_frozen_and_tells_its_kind(folders: dict[str, Path]) -> None:
    found = {}
    for name, folder in folders.items():
        backbone = load_backbone(PolicySettings(model=str(folder), dtype="float32"))
        assert not any(p.requires_grad for p in backbone.model.parameters())
        assert not backbone.model.training
        found[name] = (backbone.kind, backbone.prompts.form.name)
    assert found == {
        "causal": ("causal", "completion"),
        "chat": ("causal", "chat"),
        "seq2seq": ("seq2seq", "apps"),
    }


def test_pad_token_falls_back_to_the_end_token(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["causal"], tmp_path / "m")
    settings = tmp_path / "m" / "tokenizer_config.json"
    rows = json.loads(settings.read_text())
    rows.pop("pad_token")
    settings.write_text(json.dumps(rows))
    tokenizer = load_tokenizer(str(tmp_path / "m"))
    assert tokenizer.pad_token_id == tokenizer.eos_token_id


def test_precision_settings() -> None:
    assert resolve_dtype("float32") is torch.float32
    assert resolve_dtype("bfloat16") is torch.bfloat16
    assert resolve_dtype("auto") in (torch.float32, torch.bfloat16)


@pytest.mark.model
def test_embedded_model_is_converted_once_and_writes_a_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gguf")
    monkeypatch.setenv("FALCON_CACHE", str(tmp_path))
    first = Path(resolve_source(EMBEDDED))
    assert tmp_path in first.parents
    stamp = (first / "config.json").stat().st_mtime_ns
    policy = Policy.load(PolicySettings(dtype="float32"))
    assert resolve_source(EMBEDDED) == str(first)
    assert (first / "config.json").stat().st_mtime_ns == stamp
    assert [p.name for p in (tmp_path / "models").iterdir()] == [first.name]
    assert policy.chat
    problem = Problem.model_validate(
        {
            "id": "builtin/add",
            "source": "builtin",
            "split": "train",
            "difficulty": "introductory",
            "statement": "Write a function `add(a, b)` that returns the sum of two numbers.",
            "entry_point": "add",
            "tests": {
                "kind": "call",
                "entry_point": "add",
                "calls": [{"args": [1, 2], "expected": 3}],
            },
        }
    )
    ids = policy.prompts.encode(problem)
    sampling = Sampling(0, 1, 48, 1, policy.form.stop)
    weights = Weights(use_adapter=False)
    ((completion,),) = LocalGenerator(policy).generate([ids], Draws(sampling), weights=weights)
    names: dict[str, object] = {}
    exec(policy.form.extract(completion.text, problem).program, names)
    assert names["add"](2, 3) == 5  # type: ignore[operator]
