"""Packed weights: a copy of a linear layer's weight in the order that the processor reads it.

oneDNN puts a bfloat16 weight into that order at every product otherwise, which for a few rows
takes as long as the product itself. The results are the same. Only for passes without gradients,
since the packed form has no backward pass.
"""

from __future__ import annotations

import torch


def packed(weight: torch.Tensor) -> torch.Tensor | None:
    """The packed copy of a weight [out, in]; None where there is none for it on this machine."""
    if weight.device.type != "cpu" or weight.dtype != torch.bfloat16:
        return None
    try:
        form: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), 1)
        product(weight.new_zeros(1, weight.shape[1]), form, None)
    except (AttributeError, RuntimeError):  # another build of the library, or another processor
        return None
    return form


def product(x: torch.Tensor, form: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x W^T + bias by a packed weight, [..., in] -> [..., out]."""
    y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, form, bias, "none", [], "")
    return y
