"""Handles of the confined processes of a slot: started when needed, timed, replaced, ended."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import time
from typing import Literal

from ..wire import frames, launch
from ..wire.launch import Confinement, WorkerConfig

# One arena: malloc sets 64 MiB of address space aside for each further one, and it takes one for
# each thread, so that a dozen threads would meet the limit.
ENVIRONMENT = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
               "MALLOC_ARENA_MAX": "1"}  # fmt: skip
START_SECONDS, RETIRE_SECONDS = 30.0, 1.0
IDLE_SECONDS = 10.0
RECYCLE_AFTER = 4000  # programs that one zygote forks children for
SLOWER_TRACED = 10  # times: a traced program gets that much more time
# Two zygotes, without and with numpy, and two servers.
Role = Literal["slim", "numpy", "compiler", "oracle"]


class Fault(Exception):
    """Something of ours broke; worth another try on fresh processes."""


class HelperFault(Fault):
    """The compiler or the oracle ended at its work: by what the tests do with an answer, maybe."""


class SuiteFault(Fault):
    """The suite cannot run, whatever the program: its tests, its prelude or its reference fail."""


def cpu_clock(pid: int) -> float | None:
    """CPU seconds a process has used, None once it is gone."""
    try:
        # The kernel's name for the CPU clock of another process (CPUCLOCK_SCHED is 2).
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None


def run_delay(pid: int) -> float:
    """Seconds since its start that a process was ready to run and had no processor."""
    try:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) * 1e-9
    except (OSError, ValueError, IndexError):
        return 0.0


class ConfinedProcess:
    """One confined process and our end of its socket. ``kind`` is the socket's type."""

    def __init__(self, role: str, config: Confinement, kind: socket.SocketKind) -> None:
        self.role = role
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, kind)
        self.uses_left = RECYCLE_AFTER  # 0 where a program left something that stays
        fd, null = theirs.fileno(), subprocess.DEVNULL
        argv = launch.command("confined.entry", role, json.dumps(config._asdict()), str(fd))
        # sys.stdout remembers whether it can seek: it must be born on a pipe, which programs get.
        unread, stdout = os.pipe2(os.O_CLOEXEC)
        try:
            self.process = subprocess.Popen(
                argv,
                stdin=null,
                stdout=stdout,
                stderr=null,
                pass_fds=[fd],
                env=ENVIRONMENT,
                cwd="/",
                # Of its own: a signal to a program's group reaches no other process of ours.
                start_new_session=True,
            )
        except OSError as fault:
            self.sock.close()
            raise Fault(f"the {role} could not be started: {fault}") from None
        finally:
            theirs.close()
            os.close(unread)
            os.close(stdout)

    def await_ready(self) -> None:
        """Wait until it is confined. Raises Fault with its reason."""
        if not select.select([self.sock], [], [], START_SECONDS)[0]:
            raise Fault(f"the {self.role} did not start within {START_SECONDS:.0f} s")
        message = self.sock.recv(4096)
        if message != b"ready":
            reason = message.decode("utf-8", "replace").removeprefix("fault ") or "it ended"
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


class Server(ConfinedProcess):
    """A process that answers in frames (compiler, oracle), timed by its own CPU clock. Time that
    it sleeps while we wait for it has a limit as well."""

    def __init__(self, role: str, config: Confinement) -> None:
        super().__init__(role, config, socket.SOCK_STREAM)
        self._buffer = bytearray()
        self._mark = self._idle = 0.0
        self._delay: float | None = None

    def start_clock(self) -> None:
        """Time counts from here."""
        self._mark, self._idle, self._delay = cpu_clock(self.process.pid) or 0.0, 0.0, None

    def send(self, *payloads: bytes) -> None:
        """Write frames. Raises Fault when the process is gone."""
        try:
            self.sock.sendall(b"".join(map(frames.pack, payloads)))
        except OSError as fault:
            raise HelperFault(f"the {self.role} is gone: {fault}") from None

    def receive(self, cpu_seconds: float, idle_seconds: float = IDLE_SECONDS) -> bytes:
        """The next payload. Raises Fault when it ended, and TimeoutError past its CPU time or
        when it slept for longer than ``idle_seconds`` since the clock's start."""
        while (payload := frames.take(self._buffer)) is None:
            used = self._used()
            if used > cpu_seconds:
                raise TimeoutError(f"the {self.role} used {used:.1f} s")
            if self._idle > idle_seconds:
                self._forgive(idle_seconds)
            # It cannot use more CPU time than passes; where it gets no processor we look again.
            patience = max(0.02, min(cpu_seconds - used, idle_seconds - self._idle + 0.001))
            begun = time.monotonic()
            ready = select.select([self.sock], [], [], patience)[0]
            self._idle += max(0.0, time.monotonic() - begun - (self._used() - used))
            if ready:
                part = self.sock.recv(1 << 16)
                if not part:
                    raise HelperFault(f"the {self.role} ended")
                self._buffer += part
        return payload

    def _used(self) -> float:
        return (cpu_clock(self.process.pid) or 0.0) - self._mark

    def _forgive(self, idle_seconds: float) -> None:
        """Take off the time that other work kept it from a processor. Raises TimeoutError."""
        delay = run_delay(self.process.pid)
        # Read only here, as a file costs more than a clock: the first time half is forgiven.
        since = idle_seconds / 2 if self._delay is None else delay - self._delay
        self._idle, self._delay = self._idle - since, delay
        if self._idle > idle_seconds:
            raise TimeoutError(f"the {self.role} slept for {self._idle:.1f} s")


class Handles:
    """The confined processes of a slot by role, started when first needed."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._zygotes: dict[Role, ConfinedProcess] = {}
        self._servers: dict[Role, Server] = {}

    def zygote(self, *, numpy: bool) -> ConfinedProcess:
        """The one that programs with, or without, numpy are forked from. Raises Fault."""
        role: Role = "numpy" if numpy else "slim"
        kept = self._zygotes.get(role)
        if kept is not None and kept.uses_left <= 0:
            self._zygotes.pop(role).retire()
        if role not in self._zygotes:
            self.start(role)
        return self._zygotes[role]

    def server(self, role: Literal["compiler", "oracle"]) -> Server:
        """The server of this role; its clock counts from here. Raises Fault."""
        if role not in self._servers:
            self.start(role)
        self._servers[role].start_clock()
        return self._servers[role]

    def start(self, *roles: Role) -> None:
        """Start several at once: they confine themselves side by side. Raises Fault."""
        config, me = self._config, os.getpid()
        common = config.level, config.packages
        started: list[ConfinedProcess] = []
        for role in roles:
            if role in ("slim", "numpy"):
                most = SLOWER_TRACED * launch.MOST_TOTALS * config.cpu_total
                limits = Confinement(*common, config.memory_mib, most, me, numpy=role == "numpy")
                # Messages keep their bounds, so that a request and its descriptors stay together.
                self._zygotes[role] = ConfinedProcess("zygote", limits, socket.SOCK_SEQPACKET)
                started.append(self._zygotes[role])
            else:
                # An hour for all its questions: each is timed on its own.
                most, packages = max(512, config.memory_mib), config.packages
                packages = packages + config.test_packages * (role == "oracle")
                limits = Confinement(config.level, packages, most, 3600, me)
                self._servers[role] = Server(role, limits)
                started.append(self._servers[role])
        for process in started:
            process.await_ready()

    def drop(self, role: Literal["compiler", "oracle"]) -> None:
        """End a server; the next use starts a fresh one."""
        if role in self._servers:
            self._servers.pop(role).stop()

    def reset(self) -> None:
        """End all processes."""
        for process in [*self._zygotes.values(), *self._servers.values()]:
            process.stop()
        self._zygotes.clear()
        self._servers.clear()
