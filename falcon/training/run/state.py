"""State of a training under way: what the loop, the supervised updates and validation share."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from falcon.config import Settings
from falcon.errors import UserError
from falcon.monitor import Monitor
from falcon.training.engine import Engine
from falcon.training.run import checkpoint
from falcon.training.run.checkpoint import Progress


@dataclass(frozen=True)
class TrainingFolders:
    """``out``: results; ``checkpoints``: of this training; ``start``: the adapter it starts from.

    Without ``start`` it starts from an adapter drawn from the seed.
    """

    out: Path
    checkpoints: Path
    start: Path | None = None


@dataclass(frozen=True)
class TrainingRun:
    """A training under way. ``seconds`` counts this process's time by kind (``time/...``)."""

    settings: Settings
    method: Engine
    progress: Progress
    checkpoints: Path
    monitor: Monitor
    seconds: Counter[str] = field(default_factory=Counter)

    @property
    def best(self) -> Path:
        """The folder of the best adapter on the validation problems, if there is one yet."""
        return self.checkpoints / "best"

    def is_due(self, every: int) -> bool:
        """Whether something is done after this step that is done ``every`` steps and at the end."""
        step, last = self.progress.step, self.settings.train.steps
        return step % every == 0 or step == last

    def save(self) -> None:
        """Write a checkpoint; all processes wait until it is there."""
        method = self.method
        if method.processes.is_first:
            keep = self.settings.train.keep_checkpoints
            checkpoint.save(self.checkpoints, self.progress, method.policy, method.optimizer, keep)
        method.processes.barrier()

    def read_clock(self) -> dict[str, float]:
        """Seconds by kind since the last reading; they are counted in ``seconds``."""
        times = self.method.solver.clock.read()
        self.seconds.update(times)
        return times


def resume(method: Engine, checkpoints: Path, fresh: Progress) -> Progress:
    """Put the newest checkpoint into ``method``, memories included; ``fresh`` if there is none.

    Raises UserError when it belongs to other settings, data or memory than ``fresh.digest``.
    """
    folder = checkpoint.latest(checkpoints)
    if folder is None:
        return fresh
    progress = checkpoint.read_progress(folder)
    if progress.digest != fresh.digest:
        raise UserError(
            f"{folder}: the checkpoint belongs to other settings, data or memory.",
            hint=f"Undo the change to go on with it, or remove {checkpoints} to start anew.",
        )
    checkpoint.restore(folder, method.policy, method.optimizer)
    method.sampler.position = progress.sampler
    method.long_term.append(progress.experiences)
    method.short_term.clear()
    method.short_term.record(progress.short_term)
    return progress
