"""Recompute: activations of the blocks are made again in the backward pass, not kept.

Memory of the update for about a third more of its time (gradient checkpointing). The library's
own switch, with two things it does not know of: the adapters in use when a block ran must be in
use when it runs again, and only training passes may do so, since generation needs the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from falcon.errors import UserError

if TYPE_CHECKING:
    import torch

    from falcon.policy.adapter import AdapterBank
    from falcon.policy.backbone import Backbone

Contexts = tuple[AbstractContextManager[None], AbstractContextManager[None]]


class Recompute:
    """The switch for one model. Raises UserError for a model that cannot."""

    def __init__(self, backbone: Backbone, bank: AdapterBank) -> None:
        model = backbone.model
        if not model.supports_gradient_checkpointing:
            raise UserError(
                f"{backbone.name} cannot recompute activations.",
                hint="Set train.gradient_checkpointing: false.",
            )

        def contexts() -> Contexts:
            return nullcontext(), bank.again()

        model.activation_checkpointing_enable({"use_reentrant": False, "context_fn": contexts})
        self._blocks: list[torch.nn.Module] = [
            module for module in model.modules() if getattr(module, "gradient_checkpointing", False)
        ]

    @contextmanager
    def on(self) -> Iterator[None]:
        """Recompute what is computed inside the block."""
        # The library looks at this flag of a block; what is below it stays as it is (no dropout).
        before: list[tuple[Any, bool]] = [(block, block.training) for block in self._blocks]
        for block in self._blocks:
            block.training = True
        try:
            yield
        finally:
            for block, flag in before:
                block.training = flag
