"""PEFT files: a LoRA adapter read as PEFT reads it, or refused by the name of what is in it.

Read: any rank and alpha, rsLoRA, rank and alpha patterns, any choice of linear layers. Refused:
DoRA, whole modules, biases, embeddings, kinds that are not LoRA. :mod:`falcon.policy.adapter`
puts what is read here on a model.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.errors import UserError

if TYPE_CHECKING:
    import torch

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
"""What PEFT puts before the name of a layer."""

_MERGE = (
    "Merge it into its base with PEFT (merge_and_unload, save_pretrained): --model that folder."
)
_SCALING = ("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern")
_SELECTION = ("exclude_modules", "layers_to_transform", "layers_pattern")
# Keys that say how it was trained, where it comes from, or something about what is refused.
_NO_EFFECT = {
    "peft_type",
    "task_type",
    "auto_mapping",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "target_modules",
    "lora_dropout",
    "fan_in_fan_out",
    "init_lora_weights",
    "eva_config",
    "loftq_config",
    "megatron_core",
    "qalora_group_size",
    "runtime_config",
    "ensure_weight_tying",
}
# The other ways to begin change the frozen weights as well.
_BEGINNINGS = (None, True, False, "gaussian", "eva", "orthogonal")
_PAIR = re.compile(re.escape(PREFIX) + r"(.+)\.lora_([AB])\.weight")


@dataclass(frozen=True)
class LoraWeights:
    """The pairs of an adapter: layer name -> (A [rank, in], B [out, rank]), all of one rank.

    The product of every pair counts ``alpha / rank`` times.
    """

    rank: int
    alpha: float
    pairs: dict[str, tuple[torch.Tensor, torch.Tensor]]


def read_config(folder: Path) -> dict[str, Any]:
    """``adapter_config.json`` of a LoRA adapter that can be used here.

    Raises UserError when it is not there or malformed, and naming what is not supported.
    """
    file = folder / CONFIG
    if not file.is_file():
        raise UserError(
            f"{folder}: no adapter there: {CONFIG} is missing.", hint="Give a folder PEFT wrote."
        )
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise UserError(f"{file}: no JSON ({str(fault)[:100]}).", hint="Fetch it again.") from fault
    if not isinstance(config, dict):
        raise UserError(f"{file}: no settings of an adapter.", hint="Fetch it again.")
    _require_lora(file, config)
    _require_numbers(file, config)
    return config


def base_of(folder: Path) -> str:
    """The model that an adapter was trained on, as its files name it; "" if they do not.

    Raises UserError when it is no adapter that can be loaded.
    """
    return str(read_config(folder).get("base_model_name_or_path") or "")


def _require_lora(file: Path, config: Mapping[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise UserError(f"{file}: peft_type is {kind}: not a LoRA adapter.", hint=_MERGE)
    known = {*_NO_EFFECT, *_SCALING, *_SELECTION}
    for key, value in config.items():
        if key == "init_lora_weights":
            refused = value not in _BEGINNINGS
        elif key == "bias":
            refused = value not in ("none", None)
        else:
            refused = key not in known and bool(value)
        if refused:
            said = json.dumps(value)[:60]
            raise UserError(f"{file}: {key}: {said} is not supported.", hint=_MERGE)


def _require_numbers(file: Path, config: Mapping[str, Any]) -> None:
    def wrong(key: str, value: object) -> UserError:
        return UserError(f"{file}: {key}: {value!r} is no such number.", hint="Fetch it again.")

    for key, pattern in (("r", "rank_pattern"), ("lora_alpha", "alpha_pattern")):
        if key not in config:
            raise UserError(f"{file}: {key} is missing.", hint="Fetch it again.")
        patterns = config.get(pattern) or {}
        if not isinstance(patterns, dict):
            raise wrong(pattern, patterns)
        for where, value in ((key, config[key]), *((pattern, v) for v in patterns.values())):
            kinds = int if key == "r" else (int, float)
            if not isinstance(value, kinds) or isinstance(value, bool) or not math.isfinite(value):
                raise wrong(where, value)
            if key == "r" and value < 1:
                raise wrong(where, value)


def scaling_of(folder: Path) -> bytes:
    """What decides the scale of each pair, as bytes for a digest. Raises as :func:`read_config`."""
    config = read_config(folder)
    return json.dumps({key: config.get(key) or None for key in _SCALING}, sort_keys=True).encode()


def read_lora(folder: Path, layers: Collection[str]) -> LoraWeights:
    """The pairs of an adapter for a model with these linear layers, in their order.

    PEFT's scale of each pair is kept: what differs from the common one is in B, and smaller pairs
    are filled up with zeros. Raises UserError for an adapter that is damaged, not supported, or
    another model's.
    """
    config = read_config(folder)
    file = folder / WEIGHTS
    found = _read_pairs(file, _read_tensors(folder))
    strange = sorted(found.keys() - set(layers))
    if strange:
        raise UserError(
            f"{file}: the model has no linear layer {strange[0]} that can be adapted.",
            hint="It belongs to another model, or adapts what is no inner linear layer.",
        )
    named = _targeted(folder / CONFIG, config, layers)
    for name in layers:
        if named is not None and (name in named) != (name in found):
            has = "no pair for" if name in named else "a pair that target_modules leaves out, for"
            raise UserError(f"{file}: it has {has} {name}.", hint="Fetch the whole adapter again.")
    return _common(file, config, {name: found[name] for name in layers if name in found})


def _read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = folder / WEIGHTS
    if not file.is_file():
        if (folder / "adapter_model.bin").is_file():
            raise UserError(
                f"{folder}: its weights are pickled (adapter_model.bin), which may run any code.",
                hint="Where you trust it: load it with PEFT and save_pretrained to a new folder.",
            )
        raise UserError(f"{folder}: no {WEIGHTS} there.", hint="Give a folder PEFT wrote.")
    try:
        return load_file(file)
    except (OSError, SafetensorError) as fault:
        raise UserError(
            f"{file}: damaged adapter ({str(fault)[:120]}).", hint="Train or fetch it again."
        ) from fault


def _read_pairs(
    file: Path, tensors: Mapping[str, torch.Tensor]
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    halves: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        match = _PAIR.fullmatch(key)
        if match is None:
            raise UserError(
                f"{file}: {key} is not supported: no LoRA pair of a linear layer.", hint=_MERGE
            )
        halves.setdefault(match[1], {})[match[2]] = tensor
    for name, pair in halves.items():
        for half in "AB":
            if half not in pair:
                raise UserError(
                    f"{file}: {name}.lora_{half} is missing.", hint="Fetch the adapter again."
                )
    if not halves:
        raise UserError(f"{file}: it holds no weights.", hint="Train or fetch it again.")
    return {name: (pair["A"], pair["B"]) for name, pair in halves.items()}


def _targeted(
    file: Path, config: Mapping[str, Any], layers: Collection[str]
) -> frozenset[str] | None:
    """Which of the layers the configuration names; None where that is left to the library."""
    targets = config.get("target_modules")
    if targets is None or targets == "all-linear":
        return None
    given = {key: config[key] for key in _SELECTION if config.get(key) not in (None, [])}
    if isinstance(targets, list) and not given:
        ends = tuple(f".{target}" for target in targets)
        return frozenset(name for name in layers if name in targets or name.endswith(ends))
    from peft import LoraConfig
    from peft.tuners.tuners_utils import check_target_module_exists  # takes seconds to import

    try:
        selection = LoraConfig(target_modules=targets, **given)
        return frozenset(n for n in layers if bool(check_target_module_exists(selection, n)))
    except (TypeError, ValueError, re.error) as fault:
        reason = str(fault).splitlines()[0][:120]
        raise UserError(f"{file}: {reason}", hint="Correct it, or fetch it again.") from fault


def _common(
    file: Path,
    config: Mapping[str, Any],
    pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
) -> LoraWeights:
    """The pairs with one rank and one scale for all."""
    from torch.nn.functional import pad

    ranks = _per_layer(config, "r", "rank_pattern", pairs)
    for name, (a, b) in pairs.items():
        if a.dim() != 2 or b.dim() != 2 or len(a) != ranks[name] or b.shape[1] != ranks[name]:
            raise UserError(
                f"{file}: {name}: rank {ranks[name]} is given, lora_A is {tuple(a.shape)} and"
                f" lora_B {tuple(b.shape)}.",
                hint="Fetch the adapter again.",
            )
    alphas = _per_layer(config, "lora_alpha", "alpha_pattern", pairs)
    rank = max(ranks.values())
    if not config.get("use_rslora") and len({*ranks.values()}) == len({*alphas.values()}) == 1:
        return LoraWeights(rank, float(alphas[next(iter(pairs))]), dict(pairs))
    root = math.sqrt if config.get("use_rslora") else float
    scales = {name: alphas[name] / root(ranks[name]) for name in pairs}
    common = next((scale for scale in scales.values() if scale), 1.0)
    even = {
        name: (
            pad(a, (0, 0, 0, rank - len(a))),  # [rank, in]
            pad(b.float() * (scales[name] / common), (0, rank - len(a))),  # [out, rank]
        )
        for name, (a, b) in pairs.items()
    }
    return LoraWeights(rank, common * rank, even)


def _per_layer(
    config: Mapping[str, Any], key: str, pattern: str, names: Collection[str]
) -> dict[str, Any]:
    patterns = config.get(pattern)
    if not patterns:
        return dict.fromkeys(names, config[key])
    from peft.utils.other import get_pattern_key

    return {n: patterns.get(get_pattern_key(patterns.keys(), n), config[key]) for n in names}
