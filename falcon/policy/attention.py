"""Attention for grouped-query models that does not copy keys and values while decoding.

``transformers`` repeats keys and values to the number of query heads whenever a mask is
given, which on a CPU costs more than the attention itself. With one query position the
heads of a group can stand in the query dimension instead: the result is the same and
nothing is copied. Longer queries take the library's own path.

Shapes: R rows, H query heads, K key heads, L queries, S keys, d the width of a head.
"""

from typing import Any

import torch

ATTENTION = "falcon_sdpa"


def grouped_decode_attention(
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

    rows, heads, length, width = query.shape
    groups = key.shape[1]
    if length != 1 or heads == groups:  # with as many keys as queries nothing would be copied
        return sdpa(module, query, key, value, attention_mask, **kwargs)  # type: ignore[no-any-return]
    if attention_mask is not None:
        # [R, 1, 1, S]: it holds for all heads, and so for the heads that now stand as queries.
        attention_mask = attention_mask[..., : key.shape[-2]]
    out = torch.nn.functional.scaled_dot_product_attention(
        query.view(rows, groups, heads // groups, width),  # [R, K, H / K, d]
        key,
        value,
        attn_mask=attention_mask,
        scale=kwargs.get("scaling"),
    )
    return out.reshape(rows, 1, heads, width), None


def register() -> None:
    """Make :data:`ATTENTION` known to ``transformers``; may be called again."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(ATTENTION, grouped_decode_attention)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
