"""Slot: the trainer's handle of one worker process.

Started, used and ended by one and the same thread: the kernel kills the worker when that thread
ends. It exchanges frames of JSON with the worker and does not look into them.
"""

import json
import os
import socket
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from falcon.config import Settings
from falcon.errors import SlotFault
from falcon.sandbox.wire import frames, launch
from falcon.sandbox.wire.launch import WorkerConfig

_START_SECONDS = _SEND_SECONDS = 60.0
# Third-party packages that programs may import where they are installed.
PACKAGES = ("numpy", "sortedcontainers")
# pytest and what it imports: for tests that a user brings.
TEST_PACKAGES = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py")


def packages() -> list[str]:
    """Folders of the third-party packages a program may import."""
    return _places(PACKAGES)


def _places(names: tuple[str, ...]) -> list[str]:
    """Folders of packages, and files of modules, of those that are installed."""
    specs = (find_spec(name) for name in names)
    files = [Path(spec.origin).resolve() for spec in specs if spec and spec.origin]
    return [str(file.parent if file.name == "__init__.py" else file) for file in files]


def worker_config(settings: Settings, level: str) -> WorkerConfig:
    """What a worker needs to know."""
    limits = settings.sandbox
    return WorkerConfig(
        level=level,
        packages=packages(),
        test_packages=_places(TEST_PACKAGES),
        memory_mib=limits.memory_mib,
        cpu_each=limits.cpu_seconds,
        cpu_total=max(limits.total_cpu_seconds, limits.cpu_seconds),
        output_bytes=limits.output_kib << 10,
        retries=settings.machine.retries,
        trainer=os.getpid(),
    )


class Message(NamedTuple):
    """A program (``code`` and, if it is traced, ``trace``) and its suite, each as JSON."""

    program: bytes
    suite: bytes


class Slot:
    """One running worker at ``level``. Raises SlotFault when it cannot start."""

    def __init__(self, settings: Settings, level: str) -> None:
        config = worker_config(settings, level)
        # Longer than any honest judgement: restarts and retries at twenty times the budget.
        budget = launch.MOST_TOTALS * config.cpu_total
        self._patience = 60 + 20 * budget * (config.retries + 1)
        self._sock, theirs = socket.socketpair()
        fd, null = theirs.fileno(), subprocess.DEVNULL
        argv = launch.command("worker.loop", json.dumps(config._asdict()), str(fd))
        only = {"PYTHONHASHSEED": "0"}
        try:
            self.process = subprocess.Popen(
                argv,
                stdin=null,
                stdout=null,
                pass_fds=[fd],
                env=only,
                cwd="/",
                start_new_session=True,
            )
        except OSError as fault:
            self._sock.close()
            raise SlotFault(f"the worker could not be started: {fault}") from None
        finally:
            theirs.close()
        try:
            greeting = json.loads(self._receive(_START_SECONDS))
            if "fault" in greeting:
                raise SlotFault(greeting["fault"])
        except SlotFault:
            self.close()
            raise

    def judge(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """Send programs and wait for their verdicts, in order. Raises SlotFault."""
        # A suite may be large: it is sent once for all of its programs.
        suites: dict[bytes, int] = {}
        programs = [
            b"[%b,%d]" % (m.program, suites.setdefault(m.suite, len(suites))) for m in messages
        ]
        body = b'{"suites":[%b],"programs":[%b]}' % (b",".join(suites), b",".join(programs))
        try:
            self._sock.settimeout(_SEND_SECONDS)
            self._sock.sendall(frames.pack(body))
        except OSError as fault:
            raise SlotFault(f"the worker is gone: {fault}") from None
        return list(json.loads(self._receive(self._patience * len(messages))))

    def _receive(self, patience: float) -> bytes:
        self._sock.settimeout(patience)
        buffer = bytearray()
        while (payload := frames.take(buffer)) is None:
            try:
                part = self._sock.recv(1 << 18)
            except OSError as fault:
                raise SlotFault(f"the worker fell silent: {fault}") from None
            if not part:
                raise SlotFault("the worker ended")
            buffer += part
        return payload

    def close(self) -> None:
        """End the worker and, with it, every process of the slot."""
        self._sock.close()  # the worker's loop ends with the stream
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
