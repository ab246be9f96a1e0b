"""Reference trajectories: short trainings of tiny models, written down to the last bit.

``make references`` writes those that are committed beside this file. Arithmetic is pinned to what
every x86-64 processor has, so that the numbers do not depend on the machine but for the maker of
its processor, by which MKL chooses kernels whatever it is told. A change that is meant to change
numbers replaces the files of one maker and removes the other's, in a commit that says so.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from falcon.monitor import SilentMonitor
from falcon.problems import Problem
from tests.models import tiny_causal, tiny_seq2seq
from tests.training.setups import make_problem, make_settings, overlay, run_training

# Libraries choose kernels by the processor. These are the ones that all processors have: variables
# of the process, set before it starts. One thread, so that sums have one order.
PINNED = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Nehalem",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
}
FOLDER = Path(__file__).parent / "reference"


def own_folder() -> Path:
    """Where the references of processors like this one are: AuthenticAMD, GenuineIntel."""
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
    return FOLDER / next(line.split()[-1] for line in lines if line.startswith("vendor_id"))


# A tiny model writes noise until it was shown short answers for a while; then some programs pass,
# some crash and some fail, so that every reward and every loss is in the numbers.
_PLAIN: dict[str, Any] = {
    "sampling": {"temperature": 0.6, "top_p": 0.95},
    "memory": {"at": "both"},
    "train": {
        "steps": 5,
        "learning_rate": 0.02,
        "supervised_epochs": 60,
        "checkpoint_every": 5,
        "validate_every": 2,
        "meta": {"tasks": 2, "samples": 6, "evaluation_samples": 3, "long_batch": 2},
    },
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    f"{model}-order-{order}": (model, {"train": {"meta": {"order": order}}})
    for model in ("causal", "seq2seq")
    for order in (0, 1, 2)
}
# The other branches of the method: recall into the weights, one update for each inner step and
# no supervised ones before, and a greedy baseline for a model that is asked by chat.
CASES["causal-recall-into-weights"] = ("causal", {"memory": {"into": "weights"}})
CASES["causal-each-untaught"] = (
    "causal",
    {"train": {"supervised_epochs": 0, "sampler": "success", "meta": {"gradient": "each"}}},
)
CASES["chat-greedy-baseline"] = (
    "chat",
    {
        "feedback": {"adaptive": "add", "negative_counts": "raw"},
        "train": {
            "sampler": "difficulty",
            "gradient_checkpointing": True,
            "meta": {"baseline": "greedy", "inner_steps": 2, "remembered": "all"},
        },
    },
)
"""Name of a trajectory: the tiny model, and the settings that differ from the plain ones."""
_CALLS = ([(-1, 1), (2, 2), (-3, 3)], [(-5, 5), (3, 4)], [(-5, 5), (0, 0)], [("x", 1)])
"""Tests by problem: ``abs`` passes the first and the third, fails the second, crashes on the last."""


def _problems() -> list[Problem]:
    """Three problems to train on and one to validate on, with answers of a few tokens."""
    problems = []
    for number, calls in enumerate(_CALLS):
        rows = [{"args": [given], "expected": wanted} for given, wanted in calls]
        problems.append(
            make_problem(
                number,
                "valid" if number == 2 else "train",
                statement=f"Write `f(x)`, number {number}.",
                entry_point="f",
                solutions=["f=abs"],
                tests={"kind": "call", "entry_point": "f", "calls": rows},
            )
        )
    return problems


def run(name: str, folder: Path) -> dict[str, Any]:
    """Train one case in ``folder``; every metric of every step as exact hexadecimal floats."""
    model, changes = CASES[name]
    if model == "seq2seq":
        place = tiny_seq2seq(folder / "model", spread=0.1)
    else:
        place = tiny_causal(folder / "model", chat=model == "chat")
    monitor = SilentMonitor()
    settings = make_settings(place, **overlay(_PLAIN, changes))
    result, experiences = run_training(
        folder / "run", settings, problems=_problems(), monitor=monitor
    )
    weights = (result.policy / "adapter_model.safetensors").read_bytes()
    programs = json.dumps([(e.problem_id, e.program, e.score) for e in experiences])
    return {
        "steps": [
            {key: float(value).hex() for key, value in sorted(row.items()) if _exact(key)}
            for _, row in monitor.logged
        ],
        "best_step": result.best_step,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "experiences_sha256": hashlib.sha256(programs.encode()).hexdigest(),
    }


def _exact(key: str) -> bool:
    """Whether a metric is arithmetic and not a reading of a clock or of the system's memory."""
    return not key.startswith("time/") and key != "memory/peak_mib"


def main(out: Path, names: list[str]) -> None:
    """Write the cases ``names`` (all, if empty) into ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    for name in names or CASES:
        with tempfile.TemporaryDirectory() as folder:
            trajectory = run(name, Path(folder))
        (out / f"{name}.json").write_text(json.dumps(trajectory, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--pins"]:
        print(*(f"{name}={value}" for name, value in PINNED.items()))
    else:
        main(Path(sys.argv[1]) if sys.argv[1:] else own_folder(), sys.argv[2:])
