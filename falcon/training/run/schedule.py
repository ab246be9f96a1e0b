"""The learning rate beta of the meta-update: a linear warm-up, then a linear fall to zero."""

import torch

from falcon.config import TrainSettings


def factor(warmup: int, done: int, updates: int) -> float:
    """Factor of beta for the update that follows ``done`` of all ``updates``."""
    if done < warmup:
        return (done + 1) / warmup  # not from 0, which would waste the first update
    return (updates - done) / max(updates - warmup, 1)


def set_rate(
    optimizer: torch.optim.Optimizer, settings: TrainSettings, done: int, updates: int
) -> None:
    """Set the rate of the next update of the optimiser."""
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * factor(settings.warmup_steps, done, updates)
