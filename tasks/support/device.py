"""Device: what stages will compute on, in words, without the seconds that importing torch takes."""

import os
import subprocess
from importlib.metadata import version


def device_text() -> str:
    """``2 processor cores`` or the names of the GPUs."""
    cores = len(os.sched_getaffinity(0))
    return _gpus() or f"{cores} processor core{'s' * (cores != 1)}"


def _gpus() -> str:
    if version("torch").endswith("+cpu") or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return ""
    words = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):  # none here, or its driver does not answer
        return ""
    return ", ".join(done.stdout.split("\n")).strip(", ")
