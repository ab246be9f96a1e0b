from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from falcon.errors import UserError
from falcon.policy.adapter import load_adapter
from falcon.policy.policy import Policy
from tests.models import load_tiny, stir

KINDS = ("causal", "seq2seq")


def logits_of(model, kind: str) -> torch.Tensor:
    ids = torch.tensor([[9, 20, 31, 44, 8, 70]])
    with torch.no_grad():
        if kind == "seq2seq":
            return model(input_ids=ids, decoder_input_ids=torch.tensor([[0, 5, 6]])).logits
        return model(input_ids=ids).logits


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("targets", [(), "some"])
def test_peft_alone_loads_a_saved_adapter(
    folders: dict[str, Path], tmp_path: Path, kind: str, targets: object
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    some = ("q", "wo") if kind == "seq2seq" else ("q_proj", "down_proj")
    policy = load_tiny(folders[kind], lora_targets=some if targets else ())
    stir(policy)
    policy.save(tmp_path / "adapter")
    loader = AutoModelForSeq2SeqLM if kind == "seq2seq" else AutoModelForCausalLM
    plain = loader.from_pretrained(folders[kind], dtype=torch.float32)
    before = logits_of(plain, kind)
    found = logits_of(PeftModel.from_pretrained(plain, tmp_path / "adapter").eval(), kind)
    wanted = logits_of(policy.model, kind)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert (before - wanted).abs().max() > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_every_linear_but_the_head_has_a_pair(folders: dict[str, Path], kind: str) -> None:
    policy = load_tiny(folders[kind])
    leaves = {name.rsplit(".", 1)[-1] for name in policy.bank.names}
    wanted = {
        "causal": {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
        "seq2seq": {"q", "k", "v", "o", "wi", "wo"},
    }
    assert leaves == wanted[kind]
    assert len(policy.bank.names) == {"causal": 14, "seq2seq": 2 * 6 + 2 * 10}[kind]


def test_round_trip_is_exact(policy: Policy, folders: dict[str, Path], tmp_path: Path) -> None:
    policy.save(tmp_path / "adapter")
    other = load_tiny(folders[policy.kind])
    assert other.digest() != policy.digest()
    load_adapter(other.bank, other.backbone, tmp_path / "adapter")
    assert other.digest() == policy.digest()
    assert torch.equal(logits_of(other.model, policy.kind), logits_of(policy.model, policy.kind))


def test_rank_alpha_and_layers_are_those_of_the_adapter(
    causal: Policy, folders: dict[str, Path], tmp_path: Path
) -> None:
    """Whatever the settings say; and it goes on so when it is trained and saved."""
    some = load_tiny(folders["causal"], lora_rank=3, lora_alpha=5.0, lora_targets=("q_proj",))
    stir(some)
    some.save(tmp_path / "adapter")
    load_adapter(causal.bank, causal.backbone, tmp_path / "adapter")
    assert (causal.bank.names, causal.bank.rank) == (some.bank.names, 3)
    assert torch.equal(logits_of(causal.model, "causal"), logits_of(some.model, "causal"))
    causal.save(tmp_path / "again")
    names = ("adapter_model.safetensors", "adapter_config.json")
    for first, again in ((tmp_path / "adapter" / n, tmp_path / "again" / n) for n in names):
        assert first.read_bytes() == again.read_bytes()


def test_an_adapter_that_fits_is_read_into_the_parameters_that_are_there(
    causal: Policy, tmp_path: Path
) -> None:
    """An optimizer that holds them goes on with them."""
    causal.save(tmp_path)
    before = list(causal.bank.parameters())
    load_adapter(causal.bank, causal.backbone, tmp_path)
    assert all(a is b for a, b in zip(before, causal.bank.parameters(), strict=True))


def test_adapter_of_another_model_is_refused(
    causal: Policy, folders: dict[str, Path], tmp_path: Path
) -> None:
    load_tiny(folders["seq2seq"]).save(tmp_path)
    with pytest.raises(UserError, match=r"no linear layer decoder\.block.*another model"):
        load_adapter(causal.bank, causal.backbone, tmp_path)


def test_folder_without_an_adapter_is_named(causal: Policy, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no adapter there: adapter_config.json is missing"):
        load_adapter(causal.bank, causal.backbone, tmp_path)


def test_damaged_adapter_is_named(causal: Policy, tmp_path: Path) -> None:
    causal.save(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"safetensors: damaged adapter"):
        load_adapter(causal.bank, causal.backbone, tmp_path)


def test_unknown_target_is_named_with_those_there_are(folders: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=r"no linear layer qproj\..*q_proj.*up_proj"):
        load_tiny(folders["causal"], lora_targets=("qproj", "v_proj"))


def test_first_gradient_reaches_both_halves_of_every_pair(folders: dict[str, Path]) -> None:
    """A zero B would leave A without a gradient in the first inner step."""
    policy = load_tiny(folders["causal"])
    out = policy.model(input_ids=torch.tensor([[9, 20, 31, 44]]))
    torch.log_softmax(out.logits[0, -1], -1)[7].backward()
    for a, b in policy.bank.meta().values():
        assert a.grad.abs().max() > 0
        assert b.grad.abs().max() > 0
        assert b.abs().max() < 0.01
    assert all(p.grad is None for p in policy.model.parameters() if not p.requires_grad)


def test_adapter_is_drawn_from_the_seed(folders: dict[str, Path]) -> None:
    assert load_tiny(folders["causal"]).digest() == load_tiny(folders["causal"]).digest()


def test_config_names_model_kind_and_layers(causal: Policy, tmp_path: Path) -> None:
    causal.save(tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["task_type"] == "CAUSAL_LM"
    assert (config["r"], config["lora_alpha"]) == (4, 8.0)
    assert config["base_model_name_or_path"] == causal.backbone.name
    assert (tmp_path / "tokenizer.json").is_file()


def test_rows_must_say_their_task(causal: Policy) -> None:
    ids = torch.tensor([[9, 20], [31, 44]])
    with causal.bank.use(causal.bank.stack(2)), pytest.raises(ValueError, match="which task"):
        causal.model(input_ids=ids)
    with (
        causal.bank.use(causal.bank.stack(2), torch.tensor([0])),
        pytest.raises(ValueError, match="1 row tasks for 2 rows"),
    ):
        causal.model(input_ids=ids)
    with causal.bank.use(None):
        pass
    assert causal.bank.active is not None
