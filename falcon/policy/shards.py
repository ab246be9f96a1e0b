"""Shards: the frozen backbone split over the processes of a training (PyTorch's FSDP).

Each process keeps its part of every block's weights and gathers a block when a training pass
reaches it, so larger models and micro-batches fit. Every process keeps all of the adapters (they
are small, and the fast weights of a process are its own), the embeddings and the head. Programs
are written with all blocks gathered: rows end at different times in different processes, while
a gather needs every process at once. :mod:`falcon.training.process_group` sums gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import distributed

from falcon.errors import UserError

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule

    from falcon.policy.backbone import Backbone


class Shards:
    """The blocks of one model, split over all processes there are.

    Raises UserError for a model that does not say what its blocks are.
    """

    def __init__(self, backbone: Backbone) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        model = backbone.model
        names = set(getattr(model, "_no_split_modules", None) or ())
        blocks = [module for module in model.modules() if type(module).__name__ in names]
        if not blocks:
            raise UserError(
                f"{backbone.name} does not say what its blocks are, so it cannot be split.",
                hint="Set machine.shard: false.",
            )
        self._device = backbone.device
        mesh = init_device_mesh(self._device.type, (distributed.get_world_size(),))
        self._blocks: list[FSDPModule] = [fully_shard(block, mesh=mesh) for block in blocks]

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Inside, all blocks are gathered; every process must enter and leave."""
        for block in self._blocks:
            block.set_reshard_after_forward(False)  # else the first pass would free it again
            block.unshard()
        try:
            yield
        finally:
            for block in self._blocks:
                block.set_reshard_after_forward(True)
                block.reshard()

    def passes(self, own: int) -> int:
        """The most training passes that any process needs: all must make as many.

        A collective call, as each pass is: every process calls it before its first pass.
        """
        count = torch.tensor(own, device=self._device)
        distributed.all_reduce(count, distributed.ReduceOp.MAX)
        return int(count)
