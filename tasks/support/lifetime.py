"""Lifetime: a process ends with the one it works for, also when that is killed outright.

A process that starts others puts itself into their environment as FALCON_OWNER; they watch it and
end by SIGTERM when it is gone, so that they can still mark their run. The kernel's own parent
death signal would come when only the starting thread ends.
"""

import os
import runpy
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

OWNER = "FALCON_OWNER"
"""The environment variable that names the process to end with, as ``pid:time of its start``."""

LOOK_SECONDS = 1.0
GRACE_SECONDS = 30.0
"""What a process may take to mark its run and end those it started, before it is killed."""


@dataclass(frozen=True)
class ProcessId:
    """A process that no other is taken for: ``born`` tells it from a later one of its number.

    It counts from the start of the machine. A time of day would change when the clock is set, and
    a living process would be taken for dead.
    """

    pid: int
    born: float
    host: str

    @classmethod
    def here(cls) -> "ProcessId":
        """This process."""
        pid = os.getpid()
        return cls(pid, _born(pid), socket.gethostname())

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> "ProcessId":
        """From the values of :meth:`as_json`, other keys are passed over."""
        return cls(int(tree["pid"]), float(tree["born"]), str(tree["host"]))

    def as_json(self) -> dict[str, Any]:
        """Its values, for a file."""
        return asdict(self)

    @property
    def is_dead(self) -> bool:
        """Whether it is gone. Of a process of another host that cannot be known: False."""
        if self.host != socket.gethostname():
            return False
        try:
            return not is_alive(psutil.Process(self.pid)) or _born(self.pid) != self.born
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            return True


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs. A killed one stays as a zombie where nobody waits for it, as in some
    containers."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _born(pid: int) -> float:
    """Clock ticks from the start of the machine to that of a process."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return float(text.rpartition(")")[2].split()[19])  # the name before it may hold blanks


def owned_environment() -> dict[str, str]:
    """What a child needs in its environment to end with this process."""
    me = ProcessId.here()
    return {OWNER: f"{me.pid}:{me.born}"}


def end_with_owner() -> None:
    """Have this process end when the owner in its environment does; nothing without one."""
    pid, _, born = os.environ.get(OWNER, "").partition(":")
    if not born or int(pid) == os.getpid():
        return
    owner = ProcessId(int(pid), float(born), socket.gethostname())
    threading.Thread(target=_watch, args=(owner,), daemon=True, name="owner").start()


def _watch(owner: ProcessId) -> None:
    while not owner.is_dead:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def command(module: str, *words: str) -> list[str]:
    """Command line of ``python -m MODULE WORDS`` that ends with its owner and owns its children."""
    return [sys.executable, "-m", "tasks.support.lifetime", module, *words]


def main(arguments: Sequence[str]) -> None:
    """Run a module as a command that ends with its owner."""
    end_with_owner()
    os.environ.update(owned_environment())
    sys.argv = list(arguments)
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
