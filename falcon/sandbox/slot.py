"""Slot: the trainer's handle of one worker process.

Started, used and ended by one and the same thread, because the worker is killed by the
kernel when that thread ends. Speaks frames of JSON; knows nothing of verdicts.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from falcon.config import Settings
from falcon.errors import SlotFault

_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from inside import worker; "
    "worker.start(sys.argv[2], int(sys.argv[3]))"
)
_START_SECONDS = 60.0
PACKAGES = ("numpy", "sortedcontainers")
"""Third-party packages that programs may import where they are installed."""


def packages() -> list[str]:
    """Folders of the third-party packages a program may import."""
    found = (find_spec(name) for name in PACKAGES)
    return [str(Path(spec.origin).resolve().parent) for spec in found if spec and spec.origin]


def _config(settings: Settings, level: str) -> dict[str, Any]:
    limits = settings.sandbox
    return {
        "level": level,
        "packages": packages(),
        "memory_mib": limits.memory_mib,
        "cpu_each": limits.cpu_seconds,
        "cpu_seconds": max(limits.total_cpu_seconds, limits.cpu_seconds),
        "output_bytes": limits.output_kib << 10,
        "retries": settings.machine.retries,
        "trainer": os.getpid(),
    }


class Slot:
    """One running worker at ``level``. Raises SlotFault when it cannot be had."""

    def __init__(self, settings: Settings, level: str) -> None:
        limits = settings.sandbox
        total = max(limits.total_cpu_seconds, limits.cpu_seconds)
        # Beyond any honest judgement: respawns and retries at twenty times the budget.
        self._patience = 60 + 20 * total * (settings.machine.retries + 1)
        self._sock, theirs = socket.socketpair()
        config = json.dumps(_config(settings, level))
        argv = [sys.executable, "-P", "-s", "-S", "-B", "-X", "utf8", "-c", _BOOT]
        argv += [str(Path(__file__).parent), config, str(theirs.fileno())]
        try:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={"PYTHONHASHSEED": "0"},
                cwd="/",
                start_new_session=True,
            )
        except OSError as fault:
            self._sock.close()
            raise SlotFault(f"the worker could not be started: {fault}") from None
        finally:
            theirs.close()
        try:
            hello = json.loads(self._receive(_START_SECONDS))
            if "fault" in hello:
                raise SlotFault(hello["fault"])
        except SlotFault:
            self.close()
            raise

    def judge(self, messages: Sequence[bytes]) -> list[dict[str, Any]]:
        """Send programs and wait for their verdicts, in order. Raises SlotFault."""
        body = b"[" + b",".join(messages) + b"]"
        try:
            self._sock.settimeout(60)
            self._sock.sendall(struct.pack("!I", len(body)) + body)
        except OSError as fault:
            raise SlotFault(f"the worker is gone: {fault}") from None
        verdicts = json.loads(self._receive(self._patience * len(messages)))
        return list(verdicts)

    def _receive(self, patience: float) -> bytes:
        self._sock.settimeout(patience)
        return self._exactly(struct.unpack("!I", self._exactly(4))[0])

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            try:
                part = self._sock.recv(min(size, 1 << 18))
            except OSError as fault:
                raise SlotFault(f"the worker fell silent: {fault}") from None
            if not part:
                raise SlotFault("the worker ended")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """End the worker and, with it, every process of the slot."""
        self._sock.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
