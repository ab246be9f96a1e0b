"""The attention function of policies: while decoding it goes through the batch's own cache.

Everywhere else it is the library's scaled dot-product attention. The library calls it by name,
so that its models run as they are.
"""

from __future__ import annotations

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
