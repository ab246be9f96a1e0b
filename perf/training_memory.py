"""Memory that `falcon train --dry-run` predicts, beside what a training then takes.

Each in a process of its own, with the embedded model and the settings of the profile `quick`, and
again with micro-batches four times as large and with gradient checkpointing. The training runs two
steps without the memory check, so that nothing of the prediction is in it; both count the peak of
the process (VmHWM; on a GPU, the most that was allocated). Two figures are predicted: what a step
takes with programs as the policy writes them now, which is compared, and the most, with programs
that all end at the limit.
Run: ``python -m perf.training_memory [steps]``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from falcon.config import Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]
CASES: dict[str, dict[str, object]] = {
    "quick": {},
    "large micro-batches": {"micro_batch_tokens": 6144},
    "recomputed": {"micro_batch_tokens": 6144, "gradient_checkpointing": True},
}
STEPS = 2


def settings_of(case: str, steps: int) -> Settings:
    """The profile `quick` with the changes of the case."""
    settings = load_settings(ROOT / "params.yaml", "quick")
    changes = {**CASES[case], "steps": steps, "validate_every": 0}
    return settings.model_copy(update={"train": settings.train.model_copy(update=changes)})


def predict(settings: Settings) -> tuple[int, ...]:
    """Bytes, by the dry run alone: those to expect, and the most."""
    from falcon.problems import load_sources
    from falcon.training import dry_run

    memory = dry_run(settings, load_sources(settings.data, ROOT / "data"))
    return memory.likely, memory.peak


def train(settings: Settings) -> tuple[int, ...]:
    """Bytes that a training took without the memory check."""
    import torch

    from falcon.memory import HashEncoder, LongTermMemory
    from falcon.monitor import SilentMonitor
    from falcon.problems import load_sources
    from falcon.training import TrainingFolders
    from falcon.training.run import loop
    from falcon.training.run.device_memory import DeviceMemory, peak

    loop.check_memory = lambda *_: DeviceMemory("", 0, 0, 0)
    problems = load_sources(settings.data, ROOT / "data")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with LongTermMemory.open(place / "memory", HashEncoder(), writable=True) as memory:
            loop.train(
                settings,
                problems,
                memory=memory,
                folders=TrainingFolders(place / "out", place / "checkpoints"),
                monitor=SilentMonitor(),
            )
    return (peak(torch.device("cuda" if torch.cuda.is_available() else "cpu")),)


def main(arguments: list[str]) -> None:
    """Print what was predicted and taken in each case, and the ratio."""
    if arguments[:1] in (["predict"], ["train"]):
        work = predict if arguments[0] == "predict" else train
        print(*work(settings_of(arguments[1], int(arguments[2]))))
        return
    steps = arguments[0] if arguments else str(STEPS)
    print(f"{'':<22} {'predicted':>10} {'at most':>10} {'taken':>10}  MiB  predicted/taken")
    for case in CASES:
        mebibytes: list[int] = []
        for part in ("predict", "train"):
            done = subprocess.run(
                [sys.executable, "-m", "perf.training_memory", part, case, steps],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            mebibytes += (int(word) >> 20 for word in done.stdout.splitlines()[-1].split())
        likely, most, taken = mebibytes
        print(
            f"{case:<22} {likely:>10} {most:>10} {taken:>10}       {likely / taken:.3f}", flush=True
        )


if __name__ == "__main__":
    main(sys.argv[1:])
