"""Conversion: a GGUF file as a folder of safetensors, tokenizer and chat template.

Every stage loads the model: from a GGUF file in half a minute, from safetensors in two seconds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from falcon.errors import UserError
from falcon.files import cache_folder

if TYPE_CHECKING:
    import torch


def models_folder() -> Path:
    """Where converted models are kept."""
    return cache_folder() / "models"


def unloadable(name: str, fault: Exception) -> UserError:
    """That the model ``name`` cannot be loaded, and why, in one line."""
    offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("0", "")
    reason = (str(fault).strip().splitlines() or [type(fault).__name__])[0][:200]
    if "custom code" in reason or "trust_remote_code" in reason:
        hint = "Code of a model is never run: give one of a kind that transformers has itself."
    elif Path(name).exists():
        hint = "Check the files there, or fetch them again."
    elif offline:
        hint = "HF_HUB_OFFLINE is set: give a local folder, or unset it to download."
    else:
        hint = "Check the name, or give a local folder."
    return UserError(f"policy.model: {name} cannot be loaded ({reason}).", hint=hint)


def convert(file: Path, folder: Path, dtype: torch.dtype) -> None:
    """Write the model of a GGUF file into the new folder ``folder``, with weights of ``dtype``.

    Raises UserError when the file holds no model, OSError when the folder cannot be written.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        # Without dequantize the weights stay packed and can be neither trained nor saved.
        model = AutoModelForCausalLM.from_pretrained(
            str(file.parent),
            gguf_file=file.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=dtype,
        )
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        folder.mkdir(parents=True)
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
    except (OSError, ValueError, KeyError) as fault:
        if isinstance(fault, OSError) and fault.errno is not None:
            raise  # the system's; transformers raises others for what is in a file
        raise unloadable(str(file), fault) from fault
