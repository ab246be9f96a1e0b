"""Checkpoints of training: written atomically, last k kept, best kept, resumed exactly.

A checkpoint holds adapter, optimizer, sampler position, the experiences documented so far,
short-term memory and the metrics of every step. Random numbers come from (seed, step) and need no
state. A digest binds it to its settings and inputs. Tensors are read with ``weights_only``.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError

import torch

from falcon.errors import UserError
from falcon.files import replaced_folder
from falcon.memory.experience import Experience
from falcon.policy.policy import Policy

MEMORIES = ("experiences", "short_term")
"""Parts of :class:`Progress` that have files of their own, a line an experience."""


@dataclass
class Progress:
    """Where training stands: ``step`` steps are done, and before them ``supervised`` updates."""

    step: int = 0
    sampler: int = 0
    run_id: str = ""
    digest: str = ""
    best_step: int = -1
    best_score: float = float("-inf")
    history: list[dict[str, float]] = field(default_factory=list)
    experiences: list[Experience] = field(default_factory=list)
    short_term: list[Experience] = field(default_factory=list)
    supervised: int = 0


def write_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a new folder and flush it; then it takes the place of the old one."""
    with replaced_folder(folder) as fresh:
        fill(fresh)
        # Before it gets its name: after a power cut a file could have its name and no contents.
        for file in fresh.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())


def save(
    root: Path, progress: Progress, policy: Policy, optimizer: torch.optim.Optimizer, keep: int
) -> None:
    """Write ``root/step-N`` and remove all but the last ``keep``.

    Raises UserError when the disk is full or read-only; earlier checkpoints stay whole.
    """

    def fill(folder: Path) -> None:
        policy.save(folder / "policy")
        torch.save(optimizer.state_dict(), folder / "optimizer.pt")
        for name in MEMORIES:
            with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as lines:
                lines.writelines(e.model_dump_json() + "\n" for e in getattr(progress, name))
        state = {k: v for k, v in vars(progress).items() if k not in MEMORIES}
        (folder / "progress.json").write_text(json.dumps(state))

    try:
        write_folder(root / f"step-{progress.step:06d}", fill)
    except OSError as fault:
        raise UserError(
            f"{root}: the checkpoint of step {progress.step} cannot be written ({fault.strerror}).",
            hint="Free some space and run the same command again: it goes on from the last one.",
        ) from fault
    for old in [*_folders(root)[:-keep], *root.glob(".step-*")]:  # the latter a killed save left
        shutil.rmtree(old)


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.glob("step-*") if p.is_dir() and p.name[5:].isdigit())


def latest(root: Path) -> Path | None:
    """The newest whole checkpoint, or None."""
    folders = [p for p in _folders(root) if (p / "progress.json").is_file()]
    return folders[-1] if folders else None


def last_policy(root: Path) -> Path | None:
    """The adapter folder of the newest checkpoint, or None."""
    folder = latest(root)
    return folder / "policy" if folder else None


def read_progress(folder: Path) -> Progress:
    """Progress of a checkpoint. Raises UserError naming the file when it is damaged."""
    try:
        state = json.loads((folder / "progress.json").read_text())
        state.update({name: _read(folder / f"{name}.jsonl") for name in MEMORIES})
        return Progress(**state)
    except (OSError, ValueError, TypeError) as fault:
        raise _damaged(folder, fault) from fault


def _read(file: Path) -> list[Experience]:
    # Not splitlines: programs may hold the line ends of Unicode, which JSON leaves as they are.
    lines = file.read_text(encoding="utf-8").split("\n")
    return [Experience.model_validate_json(line) for line in lines if line]


def _damaged(folder: Path, fault: Exception) -> UserError:
    return UserError(
        f"{folder}: damaged checkpoint ({type(fault).__name__}).",
        hint="Remove this folder; the one before it is used then.",
    )


def restore(folder: Path, policy: Policy, optimizer: torch.optim.Optimizer) -> None:
    """Put adapter and optimizer of a checkpoint in place. Raises UserError for damaged ones."""
    from falcon.policy.adapter import load_adapter

    load_adapter(policy.bank, policy.backbone, folder / "policy")
    try:
        state = torch.load(folder / "optimizer.pt", weights_only=True)
        optimizer.load_state_dict(state)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as fault:
        raise _damaged(folder, fault) from fault


def saved_run_id(root: Path) -> str | None:
    """The tracker's run id of the newest checkpoint: a resumed run is the same run."""
    folder = latest(root)
    return read_progress(folder).run_id or None if folder else None
