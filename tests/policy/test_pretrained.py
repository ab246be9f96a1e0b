"""Models of other kinds: loaded with the function that transformers gives them, or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from falcon.config import PolicySettings
from falcon.errors import UserError
from falcon.policy.backbone import load_backbone
from falcon.policy.likelihood import Group, micro_batches, score
from tests.models import WINDOW, _tokenizer, load_tiny, own_weights, stir, tiny_other

GROUPS = (
    Group(tuple(range(20, 33)), ((70, 12, 99), tuple(range(40, 52)), (15,)), 0, (0, 1, 2)),
    Group((50, 51), (tuple(range(60, 79)), (64, 65)), 1, (3, 4)),
)
WINDOWED = ("Mistral", "Gemma2", "GPTNeo")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("others")

    def make(kind: str) -> Path:
        folder = root / kind
        return folder if folder.exists() else tiny_other(folder, kind)

    return make


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize(
    "kind", ["Mistral", "Gemma2", "CodeGen", "GPTJ", "GPTNeo", "Falcon", "Bloom"]
)
def test_scores_are_those_of_a_plain_forward_of_the_library(
    made: Callable[[str], Path], kind: str, stacked: bool
) -> None:
    """Logits of transformers itself (eager), sample by sample, with each task's own adapter."""
    from transformers import AutoModelForCausalLM

    policy = load_tiny(made(kind))
    stir(policy)
    pairs = own_weights(policy, 2) if stacked else policy.bank.meta()
    found: dict[int, torch.Tensor] = {}
    for rows in micro_batches(GROUPS, 10_000):
        scored = score(policy, rows, pairs, temperature=1.0, top_p=1.0)
        found |= {tag: scored.log_probs[a:z].detach() for tag, _, a, z in scored.pieces}
    for group in GROUPS:
        plain = AutoModelForCausalLM.from_pretrained(
            made(kind), attn_implementation="eager", dtype=torch.float32
        ).eval()
        with torch.no_grad():
            for name, (a, b) in pairs.items():
                a, b = (a[group.task], b[group.task]) if stacked else (a, b)
                plain.get_submodule(name).weight += policy.bank.scale * b @ a
        for tag, completion in zip(group.tags, group.completions, strict=True):
            ids = torch.tensor([group.prompt + completion])
            with torch.no_grad():
                logits = plain(input_ids=ids).logits[0, len(group.prompt) - 1 : -1]
            wanted = torch.log_softmax(logits, -1).gather(-1, ids[0, len(group.prompt) :, None])
            torch.testing.assert_close(found[tag], wanted[:, 0], rtol=0, atol=2e-4)


def test_the_window_is_one_that_these_samples_leave(made: Callable[[str], Path]) -> None:
    assert max(len(g.prompt) + len(c) for g in GROUPS for c in g.completions) > 2 * WINDOW
    for kind in WINDOWED:
        assert not load_tiny(made(kind)).packs
    assert load_tiny(made("CodeGen")).packs


def test_attention_is_eager_where_the_model_has_no_other(made: Callable[[str], Path]) -> None:
    found = {}
    for kind in ("Gemma2", "CodeGen", "Falcon", "Mistral"):
        backbone = load_backbone(PolicySettings(model=str(made(kind)), dtype="float32"))
        found[kind] = backbone.model.config._attn_implementation
    assert found.pop("Mistral") == "falcon_sdpa"
    assert set(found.values()) == {"eager"}


def refused(model: Path) -> UserError:
    with pytest.raises(UserError) as fault:
        load_backbone(PolicySettings(model=str(model), dtype="float32"))
    assert "\n" not in str(fault.value)
    return fault.value


@pytest.fixture
def copied(folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders["causal"], tmp_path / "model"))


def edit(model: Path, **values: object) -> None:
    file = model / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_a_model_without_its_head_is_refused(copied: Path) -> None:
    from transformers import AutoModel

    whole = AutoModel.from_pretrained(copied)
    shutil.rmtree(copied)
    whole.save_pretrained(copied)
    _tokenizer(chat=False).save_pretrained(copied)
    fault = refused(copied)
    assert "lacks lm_head.weight, which would be drawn at random" in fault.message
    assert "tie_word_embeddings" in fault.hint
    edit(copied, tie_word_embeddings=True)
    load_backbone(PolicySettings(model=str(copied), dtype="float32"))


def test_a_config_of_other_layers_or_shapes_is_refused(copied: Path) -> None:
    edit(copied, num_hidden_layers=3)
    assert "lacks model.layers.2.input_layernorm.weight and 8 more" in refused(copied).message
    edit(copied, num_hidden_layers=2, intermediate_size=64)
    assert "another shape than config.json says" in refused(copied).message
    edit(copied, intermediate_size=48, hidden_size="32")
    assert "cannot be loaded" in refused(copied).message


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "RobertaForMaskedLM", "DistilBertForMaskedLM"])
def test_encoders_are_refused(tmp_path: Path, kind: str) -> None:
    import transformers

    tokenizer = _tokenizer(chat=False)
    names = {"vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 1}
    names |= {"num_attention_heads": 2, "intermediate_size": 32}
    config = getattr(transformers, kind.replace("ForMaskedLM", "Config"))(**names)
    getattr(transformers, kind)(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert "is an encoder" in refused(tmp_path).message


def test_half_of_an_encoder_decoder_is_refused(tmp_path: Path, folders: dict[str, Path]) -> None:
    from transformers import T5EncoderModel

    model = Path(shutil.copytree(folders["seq2seq"], tmp_path / "half"))
    (model / "model.safetensors").unlink()
    config = (model / "config.json").read_text()
    T5EncoderModel.from_pretrained(folders["seq2seq"]).save_pretrained(model)
    assert "of type t5, which writes no text" in refused(model).message
    (model / "config.json").write_text(config)
    assert "lacks" in refused(model).message


@pytest.mark.parametrize(
    "values",
    [
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        {"quant_method": "gptq", "bits": 4},
        {"quant_method": "awq", "bits": 4},
        {"quant_method": "fp8"},
    ],
)
def test_quantised_models_are_refused(copied: Path, values: dict[str, Any]) -> None:
    edit(copied, quantization_config=values)
    fault = refused(copied)
    assert f"is quantised ({values['quant_method']})" in fault.message
    assert "Give the model it was made from" in fault.hint


def test_pickled_weights_are_refused(copied: Path) -> None:
    from safetensors.torch import load_file

    torch.save(load_file(copied / "model.safetensors"), copied / "pytorch_model.bin")
    load_backbone(PolicySettings(model=str(copied), dtype="float32"))
    (copied / "model.safetensors").unlink()
    fault = refused(copied)
    assert "pickled" in fault.message
    assert "save_pretrained" in fault.hint


def test_a_model_without_attention_is_refused(copied: Path) -> None:
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(vocab_size=360, hidden_size=16, num_hidden_layers=1, state_size=2)
    MambaForCausalLM(config).save_pretrained(copied)
    assert "MambaForCausalLM) keeps no keys and values" in refused(copied).message


def test_code_of_the_model_is_not_run(copied: Path) -> None:
    edit(copied, model_type="new", auto_map={"AutoConfig": "new.Config"})
    assert "Code of a model is never run" in refused(copied).hint


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(copied: Path) -> None:
    tokenizer = _tokenizer(chat=False)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.save_pretrained(copied)
    load_backbone(PolicySettings(model=str(copied), dtype="float32"))  # a mark that never occurs
    tokenizer.add_tokens(["<tool>"])
    tokenizer.save_pretrained(copied)
    assert "has the token <tool> (361), and the model has 360 embeddings" in refused(copied).message


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ raise_exception('System role not supported') }}", "System role not supported"),
        ("{% for m in messages %}{{ m['content'] }}", "end of template"),
        ("{{ messages[0]['content'] + 1 }}", "str"),
        ("{{ messages[3]['content'] }}", "no element 3"),
    ],
)
def test_a_chat_template_that_fails_is_one_line(copied: Path, template: str, said: str) -> None:
    from tests.training.setups import make_problem

    tokenizer = _tokenizer(chat=True)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(copied)
    policy = load_tiny(copied)
    with pytest.raises(UserError, match="its chat template cannot be used") as fault:
        policy.prompts.fits(make_problem(1))
    assert said in fault.value.message
    assert "\n" not in str(fault.value)
    assert "policy.prompt: completion" in fault.value.hint
