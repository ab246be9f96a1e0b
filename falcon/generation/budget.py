"""How many rows the memory has room for.

``sampling.batch_size`` is what is wanted. A longer prompt, a larger model or a neighbour on the
machine may leave room for less; then fewer rows are written at a time, instead of none at all.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from falcon.generation.completion import Draws
from falcon.policy.decoding import can_refill

if TYPE_CHECKING:
    from falcon.policy.policy import Policy

logger = logging.getLogger("falcon.lanes")

SHARE = 0.8
"""Of the free memory, for keys and values; the rest is for what a step computes."""
_GROUP = Path("/sys/fs/cgroup")


def rows_that_fit(policy: Policy, prompts: Sequence[Sequence[int]], draws: Draws) -> int:
    """At most ``sampling.batch_size`` rows: as many as there is memory for, and at least one.

    Where the library keeps keys and values (``FixedRows``) their size is not known beforehand.
    """
    wanted = draws.sampling.batch_size
    if not prompts or not can_refill(policy):
        return wanted
    new, old = draws.sampling.max_new_tokens, max(len(ids) for ids in prompts)
    row = policy.token_bytes * new + 4 * policy.model.config.get_text_config().vocab_size
    prompt = policy.token_bytes * old  # kept once for all of its rows
    free = SHARE * free_bytes(policy.device)
    fitting = int((free - len(prompts) * prompt) / row)
    if fitting < len(prompts):
        fitting = max(1, int(free / (row + prompt)))
    if fitting < min(wanted, len(prompts) * draws.samples):
        logger.warning(
            "memory for %d rows at a time: fewer than the %d of batch_size", fitting, wanted
        )
    return min(wanted, fitting)


def free_bytes(device: torch.device) -> int:
    """Memory of the device that this process may still take."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    try:  # a container has a limit of its own
        limit, used = ((_GROUP / f"memory.{name}").read_text() for name in ("max", "current"))
        return min(free, max(0, int(limit) - int(used)))
    except (OSError, ValueError):  # none: the file is not there, or says `max`
        return free
