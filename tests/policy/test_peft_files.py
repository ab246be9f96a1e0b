"""Adapters that PEFT itself writes: the same logits as under PEFT, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from falcon.errors import UserError
from falcon.policy.adapter import adapter_digest, load_adapter
from falcon.policy.policy import Policy
from tests.models import load_tiny, stir

IDS = torch.tensor([[9, 20, 31, 44, 8, 70, 12]])
Q_AND_DOWN = ["q_proj", "down_proj"]
LOADED: dict[str, dict[str, Any]] = {
    "other rank and alpha": {"r": 3, "lora_alpha": 17, "target_modules": Q_AND_DOWN},
    "rslora": {"r": 6, "lora_alpha": 9, "use_rslora": True, "target_modules": Q_AND_DOWN},
    "alpha 0": {"r": 2, "lora_alpha": 0, "target_modules": Q_AND_DOWN},
    "alpha_pattern": {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": Q_AND_DOWN,
        "alpha_pattern": {"down_proj": 40, r"layers\.1\.self_attn\.q_proj": 0},
    },
    "rank_pattern": {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": Q_AND_DOWN,
        "rank_pattern": {"down_proj": 7, "model.layers.0.self_attn.q_proj": 2},
    },
    "patterns and rslora": {
        "r": 4,
        "lora_alpha": 8,
        "use_rslora": True,
        "target_modules": Q_AND_DOWN,
        "rank_pattern": {"down_proj": 2},
        "alpha_pattern": {r".*\.0\..*q_proj": 3},
    },
    "a regex": {"target_modules": r".*\.1\.(self_attn\.[kv]|mlp\.up)_proj"},
    "layers_to_transform": {"target_modules": ["v_proj"], "layers_to_transform": [1]},
    "layers_to_transform 0": {
        "target_modules": ["v_proj"],
        "layers_to_transform": 0,
        "layers_pattern": "layers",
    },
    "exclude_modules": {"target_modules": ["v_proj", "o_proj"], "exclude_modules": r".*0.*o_proj"},
    "all-linear": {"target_modules": "all-linear"},
    "fan_in_fan_out": {"target_modules": ["v_proj"], "fan_in_fan_out": True},
    "gaussian": {"target_modules": ["v_proj"], "init_lora_weights": "gaussian"},
}


def written_by_peft(model: Path, folder: Path, config: Any, dtype: Any = None) -> torch.Tensor:
    """Let PEFT write an adapter of weights that matter; the logits that PEFT gives with it."""
    from peft import PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(5)
    wrapped = get_peft_model(
        AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32), config
    )
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if parameter.requires_grad and "layernorm" not in name:
                parameter.normal_(0, 0.2)
    wrapped.to(dtype or torch.float32).save_pretrained(folder)
    plain = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    with torch.no_grad():
        before = plain(input_ids=IDS).logits
        found: torch.Tensor = PeftModel.from_pretrained(plain, folder).eval()(input_ids=IDS).logits
    if getattr(config, "lora_alpha", 1):
        assert (found - before).abs().max() > 1e-2
    return found


def logits(policy: Policy) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = policy.model(input_ids=IDS).logits
    return found


@pytest.mark.parametrize("case", LOADED)
def test_loads_as_peft_loads_it(
    causal: Policy, folders: dict[str, Path], tmp_path: Path, case: str
) -> None:
    """Into any bank, with the same logits; and what is saved of it is the same function to PEFT."""
    from peft import LoraConfig, PeftModel
    from transformers import AutoModelForCausalLM

    config = LoraConfig(task_type="CAUSAL_LM", **LOADED[case])
    wanted = written_by_peft(folders["causal"], tmp_path / "theirs", config)
    load_adapter(causal.bank, causal.backbone, tmp_path / "theirs")
    torch.testing.assert_close(logits(causal), wanted, rtol=0, atol=1e-5)
    fresh = Policy.load(
        load_settings(folders["causal"], lora_targets=("gate_proj",)), adapter=tmp_path / "theirs"
    )
    assert torch.equal(logits(fresh), logits(causal))
    causal.save(tmp_path / "ours")
    plain = AutoModelForCausalLM.from_pretrained(folders["causal"], dtype=torch.float32)
    with torch.no_grad():
        again = PeftModel.from_pretrained(plain, tmp_path / "ours").eval()(input_ids=IDS).logits
    torch.testing.assert_close(again, wanted, rtol=0, atol=1e-5)
    load_adapter(causal.bank, causal.backbone, tmp_path / "ours")
    assert torch.equal(logits(fresh), logits(causal))


def load_settings(model: Path, **changes: object) -> Any:
    from falcon.config import PolicySettings

    return PolicySettings.model_validate({"model": str(model), "dtype": "float32"} | changes)


def test_weights_of_half_precision_load_as_peft_loads_them(
    causal: Policy, folders: dict[str, Path], tmp_path: Path
) -> None:
    from peft import LoraConfig

    config = LoraConfig(target_modules=Q_AND_DOWN, rank_pattern={"q_proj": 3})
    wanted = written_by_peft(folders["causal"], tmp_path, config, torch.bfloat16)
    load_adapter(causal.bank, causal.backbone, tmp_path)
    torch.testing.assert_close(logits(causal), wanted, rtol=0, atol=1e-5)


def test_padded_ranks_stay_out_of_training(
    causal: Policy, folders: dict[str, Path], tmp_path: Path
) -> None:
    from peft import LoraConfig

    config = LoraConfig(r=4, target_modules=Q_AND_DOWN, rank_pattern={"q_proj": 1})
    written_by_peft(folders["causal"], tmp_path, config)
    load_adapter(causal.bank, causal.backbone, tmp_path)
    causal.model(input_ids=IDS).logits.sum().backward()
    for name, (a, b) in causal.bank.meta().items():
        rank = 1 if "q_proj" in name else 4
        assert a.shape[0] == b.shape[1] == 4
        assert a.grad[:rank].abs().min(1).values.max() > 0
        assert a.grad[rank:].abs().sum() == b.grad[:, rank:].abs().sum() == 0


def lora(**values: Any) -> Callable[[], Any]:
    def make() -> Any:
        from peft import LoraConfig

        return LoraConfig(**{"target_modules": ["q_proj"], "task_type": "CAUSAL_LM"} | values)

    return make


def other(kind: str, **values: Any) -> Callable[[], Any]:
    def make() -> Any:
        import peft

        return getattr(peft, kind)(task_type="CAUSAL_LM", **values)

    return make


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lora(use_dora=True), "use_dora: true"),
        (lora(modules_to_save=["lm_head"]), 'modules_to_save: ["lm_head"]'),
        (lora(bias="lora_only"), 'bias: "lora_only"'),
        (lora(lora_bias=True), "lora_bias: true"),
        (lora(target_modules=["q_proj", "embed_tokens"]), "embed_tokens"),
        (lora(target_modules=["q_proj", "lm_head"]), "lm_head"),
        (lora(trainable_token_indices=[3, 4]), "trainable_token_indices: [3, 4]"),
        (lora(layer_replication=[(0, 2), (1, 2)]), "layer_replication"),
        (lora(init_lora_weights="pissa"), 'init_lora_weights: "pissa"'),
        (lora(init_lora_weights="olora"), 'init_lora_weights: "olora"'),
        (lora(target_parameters=["q_proj.weight"], target_modules=[]), "target_parameters"),
        (other("LoHaConfig", target_modules=["q_proj"]), "peft_type is LOHA"),
        (other("IA3Config", target_modules=["q_proj"], feedforward_modules=[]), "peft_type is IA3"),
        (other("PrefixTuningConfig", num_virtual_tokens=3), "peft_type is PREFIX_TUNING"),
    ],
)
def test_what_cannot_be_represented_is_refused_by_name(
    causal: Policy, folders: dict[str, Path], tmp_path: Path, make: Callable[[], Any], named: str
) -> None:
    before = causal.digest()
    written_by_peft(folders["causal"], tmp_path, make())
    with pytest.raises(UserError) as fault:
        load_adapter(causal.bank, causal.backbone, tmp_path)
    assert named in str(fault.value)
    assert "\n" not in str(fault.value)
    assert "merge_and_unload" in fault.value.hint
    assert causal.digest() == before


@pytest.fixture
def plain_adapter(folders: dict[str, Path], tmp_path: Path) -> Path:
    made = load_tiny(folders["causal"], lora_targets=("q_proj",))
    stir(made)
    made.save(tmp_path / "adapter")
    return tmp_path / "adapter"


def edit(folder: Path, **values: object) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"use_something_new": True}, "use_something_new: true"),
        ({"r": 5}, "rank 5 is given"),
        ({"r": "4"}, "r: '4'"),
        ({"r": 0}, "r: 0"),
        ({"lora_alpha": None}, "lora_alpha: None"),
        ({"rank_pattern": ["q_proj"]}, "rank_pattern"),
        ({"alpha_pattern": {"q_proj": float("nan")}}, "alpha_pattern: nan"),
        ({"target_modules": ["q_proj", "v_proj"]}, "it has no pair for model.layers.0"),
        ({"target_modules": ["k_proj"]}, "target_modules leaves out"),
        ({"target_modules": "q_proj("}, "adapter_config.json: "),
        ({"target_modules": ".*q_proj", "layers_to_transform": [1]}, "layers_to_transform"),
    ],
)
def test_a_configuration_that_does_not_fit_is_one_line(
    causal: Policy, plain_adapter: Path, values: dict[str, object], named: str
) -> None:
    edit(plain_adapter, **values)
    with pytest.raises(UserError) as fault:
        load_adapter(causal.bank, causal.backbone, plain_adapter)
    assert named in str(fault.value)
    assert "\n" not in str(fault.value)


def test_keys_of_peft_without_effect_are_no_fault(causal: Policy, plain_adapter: Path) -> None:
    edit(plain_adapter, use_dora=False, bias="none", modules_to_save=None, loftq_config={})
    edit(plain_adapter, megatron_core="megatron.core", qalora_group_size=16, peft_version="0.21.2")
    load_adapter(causal.bank, causal.backbone, plain_adapter)


def test_pickled_weights_and_a_missing_half_are_named(causal: Policy, plain_adapter: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = plain_adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    key = next(key for key in tensors if "lora_B" in key)
    save_file({k: t for k, t in tensors.items() if k != key}, file)
    with pytest.raises(UserError, match=r"q_proj\.lora_B is missing"):
        load_adapter(causal.bank, causal.backbone, plain_adapter)
    file.rename(plain_adapter / "adapter_model.bin")
    with pytest.raises(UserError, match=r"pickled \(adapter_model\.bin\)"):
        load_adapter(causal.bank, causal.backbone, plain_adapter)
    (plain_adapter / "adapter_config.json").write_text("{")
    with pytest.raises(UserError, match=r"adapter_config\.json: no JSON"):
        load_adapter(causal.bank, causal.backbone, plain_adapter)


def test_the_digest_knows_the_scale(plain_adapter: Path) -> None:
    """Equal weights under another alpha are another policy."""
    found = {adapter_digest(plain_adapter)}
    for values in ({"lora_alpha": 9.0}, {"use_rslora": True}, {"alpha_pattern": {"q_proj": 2}}):
        edit(plain_adapter, **values)
        found.add(adapter_digest(plain_adapter))
    edit(plain_adapter, peft_version="1.0", base_model_name_or_path="elsewhere")
    found.add(adapter_digest(plain_adapter))
    assert len(found) == 4
