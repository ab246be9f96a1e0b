from __future__ import annotations

import pytest
import torch
from torch import nn

from falcon.policy.attention import grouped_decode_attention


class Module(nn.Module):
    """What the library looks at in an attention layer."""

    is_causal = True

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.num_key_value_groups = groups


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(
    ("heads", "groups", "length"), [(6, 2, 1), (4, 4, 1), (6, 2, 3), (3, 1, 1)]
)
def test_grouped_attention_equals_the_library(
    heads: int, groups: int, length: int, masked: bool
) -> None:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    generator = torch.Generator().manual_seed(heads + length)
    rows, seen, width = 3, 7, 8
    query = torch.randn(rows, heads, length, width, generator=generator)
    key = torch.randn(rows, groups, seen, width, generator=generator)
    value = torch.randn(rows, groups, seen, width, generator=generator)
    mask = None
    if masked:  # left padding of another length in each row
        first = torch.tensor([0, 2, 4]).view(rows, 1, 1, 1)
        mask = (torch.arange(seen) >= first).expand(rows, 1, length, seen)
    module = Module(heads // groups)
    kwargs = {"scaling": 0.3, "dropout": 0.0}
    found, _ = grouped_decode_attention(module, query, key, value, mask, **kwargs)
    wanted, _ = sdpa_attention_forward(module, query, key, value, mask, **kwargs)
    assert found.shape == (rows, length, heads, width)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
