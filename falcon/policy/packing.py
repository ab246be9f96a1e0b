"""Packed weights: a copy of a linear layer's weight in the order that the processor reads it.

The libraries put a weight into that order at every product otherwise, which for a few rows takes as
long as the product itself. The results are the same up to rounding. Only for passes without
gradients, since the packed form has no backward pass.
"""

from __future__ import annotations

import torch

SMALLEST = 1 << 18
"""Numbers in a weight that is worth a copy: smaller ones stay in the processor's caches."""

_ROWS = 32
"""Rows of a product that the order is chosen for. With 1 to 100 it is as good."""


def packed(weight: torch.Tensor) -> torch.Tensor | None:
    """The packed copy of a weight [out, in]; None where there is none for it on this machine."""
    if weight.device.type != "cpu" or weight.dtype not in (torch.bfloat16, torch.float32):
        return None
    if weight.numel() < SMALLEST:
        return None
    try:
        form: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)
        product(weight.new_zeros(1, weight.shape[1]), form, None)
    except (AttributeError, RuntimeError):  # another build of the library, or another processor
        return None
    return form


def product(x: torch.Tensor, form: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x W^T + bias by a packed weight, [..., in] -> [..., out]."""
    y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, form, bias, "none", [], "")
    return y
