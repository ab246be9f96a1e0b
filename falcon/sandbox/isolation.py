"""What this machine can confine a program with, found out by trying to get out.

Versions and feature flags mislead (an unshare that succeeds and a mount that is then denied, a
Landlock ABI without its scopes), so each level is started for real, and canary programs try what
it must refuse.
"""

import functools
import json
import os
import platform
import resource
from contextlib import closing
from dataclasses import dataclass

from falcon.config import MachineSettings, Settings
from falcon.errors import SlotFault, UserError
from falcon.sandbox.program import suite_message
from falcon.sandbox.slot import Message, Slot
from falcon.suite import Call, CallSuite

# Layers a level goes without.
LAYERS = {"L3": (), "L2": ("namespaces",), "L1": ("namespaces", "landlock")}
_EVERYWHERE = (
    "defects of the kernel that the allowed system calls can reach",
    "what timing and shared caches tell of other processes",
    "memory of all slots together: each has its bound (docs/sandbox.md), the machine has none",
    "random numbers that the kernel gives: a program that asks for them may end in two ways",
)
_UNNAMED = (
    "names, sizes and owners of the host's files",
    "ids of the host's processes, which the programs of all slots share a user with",
    "the number of threads of a program, and what the kernel holds for each",
)
# What a level does not keep from a program.
NOT_CONTAINED = {
    "L3": _EVERYWHERE,
    "L2": (*_UNNAMED, *_EVERYWHERE),
    "L1": ("content of the host's files that the user may read", *_UNNAMED, *_EVERYWHERE),
}

NEEDS = "Use Linux 5.13 or later on x86_64, with /proc, or a container that allows seccomp."
_FILES = 128  # descriptors that a worker and its processes need, each

_PRELUDE = """
import ctypes, os, signal, socket, sys
def refused(action, *args):
    try:
        action(*args)
    except OSError:
        return True
    return False
"""
_CANARIES = {
    "honest": "def canary(): return True",
    "network socket": "def canary(): return refused(socket.socket)",
    "fork": "def canary(): return refused(os.fork)",
    "exec": "def canary(): return refused(os.execv, '/bin/true', ['true'])",
    "write to the host": "def canary(): return refused(open, '/var/tmp/falcon-canary', 'w')",
    "read /etc/passwd": "def canary(): return refused(open, '/etc/passwd')",
    "list the host's root": "def canary(): return 'root' not in (os.listdir('/') if not "
    "refused(os.listdir, '/') else [])",
    "change its limits": "import resource\ndef canary():\n"
    "    soft = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
    "    try: resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))\n"
    "    except (OSError, ValueError): return True\n    return False",
    "ptrace": "def canary(): return ctypes.CDLL(None).ptrace(0, 0, 0, 0) == -1",
    "become root": "def canary(): return os.getuid() != 0 and refused(os.setuid, 0)",
    "process by hand": "def canary():\n    libc = ctypes.CDLL(None)\n"
    "    args = (ctypes.c_ulong * 8)(0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)\n"
    "    return libc.syscall(435, args, 64) == -1 and libc.syscall(57) == -1",
    "pin others": "def canary():\n"
    "    return refused(os.sched_setaffinity, os.getppid(), os.sched_getaffinity(0))",
    "environment": "def canary(): return set(os.environ) <= {'PATH','HOME','LANG',"
    "'OPENBLAS_NUM_THREADS'}",
    # What it reaches ends, and the next one cannot be judged.
    "signal others": "def canary():\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "    for pid in (0, -1, os.getppid()): refused(os.kill, pid, signal.SIGTERM)\n    return True",
    "after the signal": "def canary(): return True",
}
_READING = ("read /etc/passwd", "list the host's root")


@dataclass(frozen=True, slots=True)
class Isolation:
    """The best level here. ``reasons`` says why each better level does not work."""

    level: str
    missing: tuple[str, ...]
    reasons: tuple[str, ...]


def escaped(slot: Slot, level: str) -> list[str]:
    """Names of the canaries that got out of a running slot. Raises SlotFault."""
    suite = CallSuite(entry_point="canary", calls=(Call(expected=True),))
    tests = json.dumps(suite_message(suite)).encode()
    names = []
    for name, body in _CANARIES.items():
        if level == "L1" and name in _READING:
            continue
        program = json.dumps({"code": _PRELUDE + body}).encode()
        (verdict,) = slot.judge([Message(program, tests)])
        if verdict["outcome"] == "sandbox_error":
            raise SlotFault(f"no program runs: {verdict['detail']}")
        if verdict["outcome"] != "pass":
            names.append(f"{name} ({verdict['outcome']})")
    return names


def _try(level: str) -> str:
    """Empty when the level holds, else why not."""
    try:
        with closing(Slot(Settings().changed({"machine.retries": 0}), level)) as slot:
            names = escaped(slot, level)
    except SlotFault as fault:
        return str(fault)
    return f"canaries escaped: {', '.join(names)}" if names else ""


@functools.cache
def probe() -> Isolation:
    """The best isolation level of this machine, by trial; level L0 when there is none.

    Takes some tenths of a second the first time and is remembered for the process.
    """
    # The tables of system calls are for this system alone.
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return _none("only Linux on x86_64 is supported so far")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if files != resource.RLIM_INFINITY and files < _FILES:
        return _none(f"only {files} files may be open: `ulimit -n` must allow {_FILES}")
    if not os.path.exists("/proc/self/statm"):
        return _none("/proc is not there: mount it")
    reasons: list[str] = []
    for level, missing in LAYERS.items():
        reason = _try(level)
        if not reason:
            return Isolation(level, missing, tuple(reasons))
        reasons.append(f"{level}: {reason}")
    return _none(*reasons)


def _none(*reasons: str) -> Isolation:
    return Isolation("L0", ("namespaces", "landlock", "seccomp"), reasons)


def require(isolation: Isolation, settings: MachineSettings) -> str:
    """The level to run at. Raises UserError at L0, and at L1 without ``allow_weak``."""
    why = "; ".join(isolation.reasons)
    if isolation.level == "L0":
        raise UserError(
            f"Programs cannot be run safely on this machine ({why}).",
            hint=NEEDS,
        )
    if isolation.level == "L1" and not settings.allow_weak:
        raise UserError(
            f"Only isolation level L1 works here: host files stay readable ({why}).",
            hint="Set machine.allow_weak: true to accept that.",
        )
    return isolation.level
