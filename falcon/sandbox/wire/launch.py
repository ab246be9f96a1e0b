"""How processes of the sandbox start: as fresh interpreters, never as forks of the trainer."""

import ctypes
import os
import signal
import sys
from typing import NamedTuple

PACKAGE = "falcon_sandbox"
"""Name of ``falcon/sandbox`` in these processes. It stands for the folder without running its
``__init__``, so that none of them loads falcon, pydantic or torch."""
_BOOT = (
    "import sys, types, importlib; p = types.ModuleType(sys.argv[1]); p.__path__ = [sys.argv[2]]; "
    "sys.modules[p.__name__] = p; importlib.import_module(sys.argv[3]).start(*sys.argv[4:])"
)
MOST_TOTALS = 4
"""A program with many tests has up to this many times the CPU time that all tests have."""
_PR_SET_PDEATHSIG = 1
# PyDLL keeps the interpreter's lock: a forked child has no other thread to give it to.
_libc = ctypes.PyDLL(None, use_errno=True)


class WorkerConfig(NamedTuple):
    """What a worker is started with."""

    level: str
    packages: list[str]
    test_packages: list[str]  # that tests may import, and programs may not
    memory_mib: int
    cpu_each: float  # seconds for one test
    cpu_total: float  # seconds for all tests of a program, more where they are many
    output_bytes: int
    retries: int
    trainer: int  # process id


class Confinement(NamedTuple):
    """What a confined process is started with."""

    level: str
    packages: list[str]
    memory_mib: int
    cpu_seconds: float
    parent: int  # process id
    numpy: bool = False  # import it before the first program


def command(module: str, *arguments: str) -> list[str]:
    """Command line of an interpreter that calls ``start(*arguments)`` of one of our modules.

    ``-P -s -S``: its module path is the standard library alone.
    """
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    flags = ["-P", "-s", "-S", "-B", "-X", "utf8"]
    names = [PACKAGE, folder, f"{PACKAGE}.{module}"]
    return [sys.executable, *flags, "-c", _BOOT, *names, *arguments]


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends. Raises OSError.

    ``parent`` is its process id; 0 where it is in another namespace and has no id here.
    """
    if _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "prctl PR_SET_PDEATHSIG")
    # It may have ended before the call, and then no signal comes.
    if parent and os.getppid() != parent:
        os._exit(1)
