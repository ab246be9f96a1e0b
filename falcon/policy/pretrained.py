"""Pretrained models: loaded whole, or refused in words that say what to do.

``transformers`` draws weights that a checkpoint lacks at random, reads encoders as if they wrote
text, and reports what it cannot do far from the cause. This module asks beforehand.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.errors import UserError
from falcon.policy.conversion import unloadable

if TYPE_CHECKING:
    import torch


def load_config(name: str, source: str) -> Any:
    """The configuration of the model ``name``, which lies at ``source``.

    Raises UserError when it cannot be read.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(source, trust_remote_code=False)
    except Exception as fault:  # of what is in a file, the library raises anything
        raise unloadable(name, fault) from fault


def load_model(
    name: str, source: str, config: Any, *, dtype: torch.dtype, attention: str, tokenizer: Any
) -> Any:
    """The model with all its weights, in ``attention`` or, where it has no such, in eager.

    Raises UserError for a model that writes no text, is quantised, pickled, incomplete or
    damaged, or has fewer embeddings than its tokenizer has tokens.
    """
    _require_usable(name, source, config)
    for implementation in dict.fromkeys((attention, "eager")):
        try:
            model, loading = _from_pretrained(source, config, dtype, implementation)
            break
        except Exception as fault:  # of what is in a file, the library raises anything
            # Models with attention of their own say so in many ways: eager has the true reason.
            if implementation == "eager":
                raise unloadable(name, fault) from fault
    _require_whole(name, loading)
    _require_caching(name, model)
    _require_embeddings(name, model, tokenizer)
    return model


def _from_pretrained(
    source: str, config: Any, dtype: torch.dtype, attention: str
) -> tuple[Any, dict[str, Any]]:
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
    from transformers.utils import logging

    loader = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # its table of missing weights: one line of ours says it
    try:
        model, loading = loader.from_pretrained(
            source,
            dtype=dtype,
            attn_implementation=attention,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # so that they are named
            output_loading_info=True,
        )
    finally:
        logging.set_verbosity(verbosity)
    return model, loading


def _require_usable(name: str, source: str, config: Any) -> None:
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_MASKED_LM_MAPPING,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    )

    quantised = getattr(config, "quantization_config", None)
    if quantised:
        values = quantised if isinstance(quantised, dict) else quantised.to_dict()
        raise UserError(
            f"policy.model: {name} is quantised ({values.get('quant_method', 'unknown')}).",
            hint="Give the model it was made from, in bfloat16 or float32, or a GGUF file of it.",
        )
    writers = (MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING)
    seq2seq = bool(config.is_encoder_decoder)
    # Encoders have a causal class as well, for those who give them a decoder's mask.
    encoder = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not seq2seq
    if type(config) not in writers[seq2seq] or (
        encoder and not getattr(config, "is_decoder", False)
    ):
        what = f"an encoder ({config.model_type})" if encoder else f"of type {config.model_type}"
        raise UserError(
            f"policy.model: {name} is {what}, which writes no text.",
            hint="Give a decoder-only or encoder-decoder language model.",
        )
    folder = Path(source)
    if any(folder.glob("pytorch_model*.bin")) and not any(folder.glob("*.safetensors")):
        raise UserError(
            f"policy.model: {name}: its weights are pickled (pytorch_model.bin), which may run"
            " any code.",
            hint="Where you trust them: load them with transformers, save_pretrained elsewhere.",
        )


def _require_whole(name: str, loading: dict[str, Any]) -> None:
    wrong = {key for key, *_ in loading["mismatched_keys"]}
    missing = set(loading["missing_keys"]) - wrong
    if missing:
        raise UserError(
            f"policy.model: {name} lacks {_some(missing)}, which would be drawn at random.",
            hint="Give the whole checkpoint, with its output head; where that is the embedding,"
            " set tie_word_embeddings: true in its config.json.",
        )
    if wrong:
        raise UserError(
            f"policy.model: {name}: {_some(wrong)} has another shape than config.json says.",
            hint="Give the config.json that was saved with these weights.",
        )


def _some(keys: set[str]) -> str:
    first, *rest = sorted(keys, key=lambda key: ("head" not in key, key))
    return f"{first} and {len(rest)} more" if rest else first


def _require_caching(name: str, model: Any) -> None:
    if "past_key_values" not in inspect.signature(model.forward).parameters:
        raise UserError(
            f"policy.model: {name} ({type(model).__name__}) keeps no keys and values, with which"
            " programs are written here.",
            hint="Give a model with attention.",
        )


def _require_embeddings(name: str, model: Any, tokenizer: Any) -> None:
    rows = len(model.get_input_embeddings().weight)
    used = {tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id} - {None}
    # Some text models keep the special tokens of their siblings that see: these never occur here.
    marks = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special} - used
    beyond = sorted(i for i in tokenizer.get_vocab().values() if i >= rows and i not in marks)
    if beyond:
        token = tokenizer.convert_ids_to_tokens(beyond[0])
        raise UserError(
            f"policy.model: {name}: its tokenizer has the token {token} ({beyond[0]}), and the"
            f" model has {rows} embeddings.",
            hint="Give the tokenizer of this model, or resize_token_embeddings and save it again.",
        )
