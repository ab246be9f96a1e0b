"""Recompute: activations of the blocks are computed again in the backward pass, not kept.

This saves memory of the update and takes about a third more time (gradient checkpointing). It is
the library's own switch, with two additions: the adapters in use when a block ran are in use
when it runs again, and only training passes recompute, since generation needs the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from falcon.errors import UserError

if TYPE_CHECKING:
    import torch

    from falcon.policy.adapter import AdapterBank
    from falcon.policy.backbone import Backbone


class Recompute:
    """The switch for one model. Raises UserError for a model that cannot."""

    def __init__(self, backbone: Backbone, bank: AdapterBank) -> None:
        model = backbone.model
        if not model.supports_gradient_checkpointing:
            raise UserError(
                f"{backbone.name} cannot recompute activations.",
                hint="Set train.gradient_checkpointing: false.",
            )
        # One context for the first run of a block, one for the run in the backward pass.
        contexts = {"context_fn": lambda: (nullcontext(), bank.again())}
        model.activation_checkpointing_enable({"use_reentrant": False, **contexts})
        self._blocks: list[torch.nn.Module] = [
            module for module in model.modules() if getattr(module, "gradient_checkpointing", False)
        ]

    @contextmanager
    def on(self) -> Iterator[None]:
        """Recompute what is computed inside the block."""
        # The library reads this flag of a block. Its submodules keep theirs, so no dropout starts.
        before: list[tuple[Any, bool]] = [(block, block.training) for block in self._blocks]
        for block in self._blocks:
            block.training = True
        try:
            yield
        finally:
            for block, flag in before:
                block.training = flag
