"""Training: MRLF (Algorithm 1), its losses, checkpoints and the loop around it."""

from falcon.training.run.checkpoint import last_policy, saved_run_id
from falcon.training.run.loop import train
from falcon.training.run.memory_check import dry_run
from falcon.training.run.result import TrainResult
from falcon.training.run.state import TrainingFolders

__all__ = ["TrainResult", "TrainingFolders", "dry_run", "last_policy", "saved_run_id", "train"]
