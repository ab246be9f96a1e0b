"""Device memory: the most that was in use, of a GPU or, on a CPU, of this process."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

MIB = 1 << 20


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes in use: when ``loaded``, and the most in the largest ``generation`` and ``update``.

    ``device`` is ``cpu`` or ``cuda``. ``likely`` is what a step took with programs as the policy
    writes them now; 0: not measured.
    """

    device: str
    loaded: int
    generation: int
    update: int
    likely: int = 0

    def __str__(self) -> str:
        parts = {"loaded": self.loaded, "generation": self.generation, "update": self.update}
        sizes = ", ".join(f"{name} {size / MIB:.0f} MiB" for name, size in parts.items())
        likely = f"about {self.likely / MIB:.0f} MiB with programs as they are now, "
        most = f"at most {self.peak / MIB:.0f} MiB of {self.device}"
        return f"{sizes}; {likely if self.likely else ''}{most}"

    @property
    def peak(self) -> int:
        """The most at any time."""
        return max(self.loaded, self.generation, self.update)


def peak(device: torch.device) -> int:
    """The most bytes of the device that this process held so far."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):  # the peak of resident memory, in KiB
            return int(line.split()[1]) << 10
    return 0


def reset_peak(device: torch.device) -> None:
    """Let :func:`peak` count from now, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    except OSError:
        return  # The peak then is that of the whole process, which is not less.


def peak_of(work: Callable[[], None], device: torch.device) -> int:
    """The most bytes of the device in use while ``work`` runs."""
    gc.collect()  # what nobody refers to is no part of the work
    reset_peak(device)
    work()
    return peak(device)
