"""Result of a training: theta_final (eq. 5), the curves, and the metrics of the last steps."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from falcon.files import replaced_file
from falcon.policy.adapter import load_adapter
from falcon.training.run import checkpoint
from falcon.training.run.state import TrainingRun


@dataclass(frozen=True)
class TrainResult:
    """The trained adapter (PEFT folder with tokenizer), final metrics, and a row a step."""

    policy: Path
    metrics: dict[str, float]
    curves: Path
    best_step: int


def finish(run: TrainingRun, out: Path) -> TrainResult:
    """Write ``policy/`` and ``curves.csv`` into ``out``.

    theta_final is the best validated adapter, or the last one where nothing was validated.
    """
    policy, progress = run.method.policy, run.progress
    if progress.best_step >= 0 and run.best.is_dir():
        load_adapter(policy.bank, policy.backbone, run.best)
    checkpoint.write_folder(out / "policy", policy.save)
    curves = write_curves(out / "curves.csv", progress.history)
    # Single steps have other tasks and jump: the mean of the last quarter is reported.
    tail = progress.history[-max(1, len(progress.history) // 4) :]
    names = [n for n in (tail[-1] if tail else {}) if not n.startswith("valid/") and n != "step"]
    metrics = {f"last/{n}": sum(row.get(n, 0.0) for row in tail) / len(tail) for n in names}
    metrics |= {"steps": float(progress.step), "best_step": float(progress.best_step)}
    if progress.best_step >= 0:
        metrics["valid/best_reward"] = progress.best_score
    metrics |= {**run.seconds, "processes": float(run.method.processes.size)}
    return TrainResult(out / "policy", metrics, curves, progress.best_step)


def write_curves(path: Path, history: Sequence[Mapping[str, float]]) -> Path:
    """A CSV with one row a step; columns that a step did not measure are empty."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    with (
        replaced_file(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows({k: f"{v:.9g}" for k, v in row.items()} for row in history)
    return path
