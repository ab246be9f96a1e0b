"""Shards: the frozen backbone split over the processes of a training (PyTorch's FSDP).

Each process keeps its part of every block's weights and gathers a block when a training pass
reaches it, so larger models and micro-batches fit. Adapters stay whole in every process (they are
small, and the fast weights of a process are its own), so do embeddings and head. Programs are
written with the blocks gathered: rows end at different times in different processes, and a
gather is a meeting of all. Gradients of adapters are not added up here (:mod:`falcon.training.run.process_group`).
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
    def whole(self) -> Iterator[None]:
        """All blocks gathered inside the block of code; every process must come and leave."""
        for block in self._blocks:
            block.set_reshard_after_forward(False)
            block.unshard()
        try:
            yield
        finally:
            for block in self._blocks:
                block.set_reshard_after_forward(True)
                block.reshard()

    def passes(self, own: int) -> int:
        """The most training passes that any process has: all must make as many.

        A meeting of all, as each pass is: ask before the first.
        """
        most = torch.tensor(own, device=self._device)
        distributed.all_reduce(most, distributed.ReduceOp.MAX)
        return int(most)
