"""Training: MRLF (Algorithm 1), its losses, checkpoints and the loop around it."""

from falcon.training.run.checkpoint import saved_run_id
from falcon.training.run.loop import TrainResult, dry_run, train

__all__ = ["TrainResult", "dry_run", "saved_run_id", "train"]
