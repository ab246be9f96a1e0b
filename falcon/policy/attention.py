"""The attention function of policies: while decoding it goes through the batch's own cache.

Everywhere else it is the library's scaled dot-product attention. The library calls it by name,
so that its models run as they are.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from falcon.policy.kv_cache import KeyValues

ATTENTION = "falcon_sdpa"


class _InUse(threading.local):
    cache: KeyValues | None = None


_in_use = _InUse()


@contextmanager
def cached(cache: KeyValues) -> Iterator[None]:
    """Let the attention of this thread keep and read keys and values in ``cache``."""
    _in_use.cache = cache
    try:
        yield
    finally:
        _in_use.cache = None


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention; ``query`` [R, H, L, d], ``key`` and ``value`` [R, K, S, d].

    Returns ([R, L, H, d], None), the form ``transformers`` expects of an attention function.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward as sdpa

    if (cache := _in_use.cache) is None:
        return sdpa(module, query, key, value, attention_mask, **kwargs)  # type: ignore[no-any-return]
    scale = kwargs.get("scaling") or query.shape[-1] ** -0.5
    return cache.attend(module.layer_idx, query, key, value, scale), None  # type: ignore[arg-type]


def register() -> None:
    """Make :data:`ATTENTION` known to ``transformers``; may be called again."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(ATTENTION, attention)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def grows(config: Any) -> bool:
    """Whether every layer of a decoder-only model attends to all earlier tokens."""
    config = config.get_text_config()  # of models that see or hear as well
    layers = getattr(config, "layer_types", None) or getattr(config, "attention_layers", None)
    if layers:
        return all(kind in ("full_attention", "global") for kind in layers)
    window = getattr(config, "sliding_window", None)
    return not (window and getattr(config, "use_sliding_window", True))


def packs(model: Any) -> bool:
    """Whether completions of one prompt may share a row of a decoder-only model.

    So where mask and positions alone decide what a token sees. A ready mask drops sliding windows,
    recurrent layers read whatever stands before, and ALiBi counts the tokens between.
    """
    positions = "position_ids" in inspect.signature(model.forward).parameters
    return grows(model.config) and positions and not getattr(model.config, "alibi", False)
