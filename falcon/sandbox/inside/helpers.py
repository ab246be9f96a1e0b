"""Starting and stopping the confined helper processes of a slot."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from typing import Any

from . import frames

BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from inside import helper; "
    "helper.start(sys.argv[2], sys.argv[3], int(sys.argv[4]))"
)
ENVIRONMENT = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
START_SECONDS, RETIRE_SECONDS = 30.0, 1.0


class Fault(Exception):
    """Something of ours broke; worth another try on fresh processes."""


def cpu_clock(pid: int) -> float | None:
    """CPU seconds a process has used, None once it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None


def folder() -> str:
    """What goes on the helpers' module path: the folder that holds this package."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Helper:
    """One helper process and our end of its socket."""

    def __init__(self, role: str, config: dict[str, Any], kind: int) -> None:
        self.role = role
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, kind)
        self.used = 0
        text = json.dumps({**config, "parent": os.getpid()})
        flags = ["-P", "-s", "-S", "-B", "-X", "utf8"]
        argv = [sys.executable, *flags, "-c", BOOT, folder(), role, text, str(theirs.fileno())]
        try:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=ENVIRONMENT,
                cwd="/",
            )
        except OSError as fault:
            self.sock.close()
            raise Fault(f"the {role} could not be started: {fault}") from None
        finally:
            theirs.close()

    def await_ready(self) -> None:
        """Wait for the helper's word. Raises Fault with its reason."""
        if not select.select([self.sock], [], [], START_SECONDS)[0]:
            raise Fault(f"the {self.role} did not start within {START_SECONDS:.0f} s")
        said = self.sock.recv(4096)
        if said != b"ready":
            reason = said.decode("utf-8", "replace").removeprefix("fault ") or "it ended"
            raise Fault(f"the {self.role} could not be confined: {reason}")

    def retire(self) -> None:
        """Let an idle one end by itself, so that its time is accounted to us; else kill it."""
        self.sock.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(RETIRE_SECONDS)
        self.stop()

    def stop(self) -> None:
        """Kill it (and with it everything in its namespace) and reap it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.sock.close()


class Server(Helper):
    """A helper that answers in frames (compiler, oracle), timed by its own CPU clock."""

    def __init__(self, role: str, config: dict[str, Any]) -> None:
        super().__init__(role, config, socket.SOCK_STREAM)
        self._buffer = bytearray()
        self._mark = 0.0

    def begin(self) -> None:
        """Start counting CPU time for a new question."""
        self._mark = cpu_clock(self.process.pid) or 0.0

    def send(self, *payloads: bytes) -> None:
        """Write frames. Raises Fault when the helper is gone."""
        try:
            self.sock.sendall(b"".join(map(frames.pack, payloads)))
        except OSError as fault:
            raise Fault(f"the {self.role} is gone: {fault}") from None

    def receive(self, cpu_seconds: float) -> bytes:
        """The next frame. Raises Fault when it ended, TimeoutError past its CPU time."""
        while True:
            if len(self._buffer) >= 4:
                size = struct.unpack_from("!I", self._buffer)[0]
                if len(self._buffer) >= 4 + size:
                    frame = bytes(self._buffer[4 : 4 + size])
                    del self._buffer[: 4 + size]
                    return frame
            used = (cpu_clock(self.process.pid) or 0.0) - self._mark
            if used > cpu_seconds:
                raise TimeoutError(f"the {self.role} used {used:.1f} s")
            if select.select([self.sock], [], [], max(0.02, cpu_seconds - used))[0]:
                part = self.sock.recv(1 << 16)
                if not part:
                    raise Fault(f"the {self.role} ended")
                self._buffer += part
