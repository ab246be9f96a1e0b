"""One running child as the worker sees it: frames, pipes, time, and how it ended."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

from . import child as inner
from . import codec, frames, jail
from .helpers import Fault, Helper, cpu_clock

MAX_FRAME = 2 * codec.BYTES + 4096
_HELLO_SECONDS = 20.0
_QUIET_SECONDS = 0.02
"""How long a patient child is left alone: nearly all are done by then."""
_CREDENTIALS = struct.Struct("3i")


@dataclass
class Limits:
    """Seconds of CPU for a test and for the program, and bytes of output."""

    cpu: float
    total: float
    output: int


@dataclass
class Pipes:
    """Ends of the child's standard input and output that we hold, and what is left of them."""

    stdin: int
    stdout: int
    feed: memoryview
    output: bytearray


class Child:
    """A forked child. ``ended`` is None while it runs, then an outcome with its error.

    ``patient``: it is asked everything at once and exits by itself, so at first nobody looks
    at its answers; they wait in the socket, and its end wakes us once. One that takes longer
    is met (its process id and clock are learned) and watched answer by answer.
    """

    def __init__(
        self,
        zygote: Helper,
        limits: Limits,
        spent: float,
        feed: bytes | None = None,
        *,
        patient: bool = False,
    ) -> None:
        self.zygote, self.limits, self.spent = zygote, limits, spent
        self.ended: tuple[str, dict[str, Any] | None] | None = None
        self.status: int | None = None
        self.pid, self.pidfd, self.cpu = 0, -1, 0.0
        self._in, self._out = bytearray(), bytearray()
        self._killed: tuple[str, dict[str, Any] | None] | None = None
        self.pipes: Pipes | None = None
        self.sock, theirs = socket.socketpair()
        given = [theirs.fileno()]
        if feed is not None:
            stdin, ours_in = os.pipe2(os.O_CLOEXEC)
            ours_out, stdout = os.pipe2(os.O_CLOEXEC)
            given += [stdin, stdout]
            self.pipes = Pipes(ours_in, ours_out, memoryview(feed), bytearray())
            os.set_blocking(ours_in, False)
            os.set_blocking(ours_out, False)
        # The kernel's word on who writes, which the first of its bytes will carry.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.setblocking(False)
        try:
            socket.send_fds(zygote.sock, [b"F"], given)
        except OSError as fault:
            self.close()
            raise Fault(f"the zygote is gone: {fault}") from None
        finally:
            theirs.close()
            for fd in given[1:]:
                os.close(fd)
        zygote.used += 1
        self._begun = time.monotonic()
        self._quiet = min(_QUIET_SECONDS, limits.cpu) if patient else 0.0
        self.begin_test()

    def begin_test(self) -> None:
        """Time counts for a new test from here."""
        if self.ended is None:
            self._cpu_mark, self._wall_mark = self._clock(), time.monotonic()

    def send(self, payload: bytes) -> None:
        """Queue one frame; it is written when an answer is waited for."""
        self._out += frames.pack(payload)

    def start(self, code: bytes, kind: bytes, prelude: bytes = b"") -> bytes:
        """Send the program; returns the nonce of its first answer."""
        nonce = secrets.token_bytes(8)
        self.send(kind + nonce + len(prelude).to_bytes(4, "big") + prelude + code)
        return nonce

    def _clock(self) -> float:
        used = cpu_clock(self.pid) if self.pid else None
        if used is not None and used > self.cpu:
            self.cpu = used
        return self.cpu

    def _run_delay(self) -> float:
        """Seconds since its start that it was ready to run and had no processor. Read only
        when a wall limit is met: a mark for each test would cost a file for each."""
        try:
            with open(f"/proc/{self.pid}/schedstat", encoding="ascii") as file:
                return int(file.read().split()[1]) * 1e-9
        except (OSError, ValueError, IndexError):
            return 0.0

    def _unfair_wait(self, most: float) -> float:
        """Seconds other work kept it from a processor: none when it made processes itself
        (by a clone3 of its own), because then it waits for those."""
        try:
            with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as file:
                zygote = int(file.read().rpartition(")")[2].split()[1])
            with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:
                own = len(file.read().split())
            with open(f"/proc/{zygote}/task/{zygote}/children", encoding="ascii") as file:
                beside = len(file.read().split()) - 1
        except (OSError, ValueError, IndexError):
            return 0.0
        return 0.0 if own or beside else min(most, self._run_delay())

    def _time_left(self) -> float:
        """Seconds until a limit could be met; kills when one is."""
        used = self._clock()
        cpu_left = self.limits.cpu - (used - self._cpu_mark)
        cpu_left = min(cpu_left, self.limits.total - self.spent - used)
        wall_limit = max(3 * self.limits.cpu, self.limits.cpu + 2)
        wall_left = wall_limit - (time.monotonic() - self._wall_mark)
        if wall_left <= 0:
            wall_left += self._unfair_wait(20 * wall_limit)
        if cpu_left <= 0 or wall_left <= 0:
            what = "cpu" if cpu_left <= 0 else "wall"
            self.kill("timeout", {"type": "Timeout", "message": f"{what} time"})
            return 5.0
        return min(cpu_left, wall_left) + 0.001

    def kill(self, outcome: str, error: dict[str, Any] | None = None) -> None:
        """SIGKILL; the first reason given is the one reported. Raises Fault."""
        if self._killed is None:
            self._killed = (outcome, error)
        if self.status is not None:  # it is gone already, and what it said was wrong
            self.ended = self.ended and self._killed
            return
        while self.pid == 0 and self.ended is None:
            self._meet()
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def next_frame(self) -> bytes | None:
        """The next frame of the child, or None once it has ended (see ``ended``)."""
        while True:
            frame = self._take_frame()
            if frame is not None:
                return frame
            if self.ended is not None:
                return None
            self._step()

    def _take_frame(self) -> bytes | None:
        if len(self._in) < 4 or self._killed is not None:
            return None
        size = int.from_bytes(self._in[:4], "big")
        if size > MAX_FRAME or size < 9:
            self.kill("protocol_violation", {"type": "Protocol", "message": "not a frame"})
            return None
        if len(self._in) < 4 + size:
            return None
        frame = bytes(self._in[4 : 4 + size])
        del self._in[: 4 + size]
        return frame

    def _step(self) -> None:
        if self._out and self.ended is None:
            self._write()
        quiet = self._begun + self._quiet - time.monotonic()
        if quiet > 0 and not self._out and self._killed is None:
            self._wait(quiet, watched=False)
        elif self.pid == 0:
            self._meet()
        else:
            timeout = 5.0 if self._killed else self._time_left()
            if not self._wait(timeout, watched=True) and self._killed:
                raise Fault("the zygote did not report a killed child")

    def _meet(self) -> None:
        """Wait for the greeting, which tells us (by the kernel's word) its process id."""
        if not self._wait(_HELLO_SECONDS, watched=True):
            raise Fault("the zygote did not fork")

    def _wait(self, seconds: float, *, watched: bool) -> bool:
        """Deal with whatever happens first within ``seconds``; False when nothing did.
        Not ``watched``: with its end and its pipes only."""
        poll = select.poll()
        if watched and self.sock.fileno() >= 0:
            poll.register(self.sock, select.POLLIN | (select.POLLOUT if self._out else 0))
        poll.register(self.zygote.sock, select.POLLIN)
        pipes = self.pipes
        if pipes and pipes.stdin >= 0:
            poll.register(pipes.stdin, select.POLLOUT)
        if pipes and pipes.stdout >= 0:
            poll.register(pipes.stdout, select.POLLIN)
        events = poll.poll(seconds * 1000)
        for fd, event in events:
            if fd == self.sock.fileno():
                if event & select.POLLOUT:
                    self._write()
                if event & ~select.POLLOUT:
                    self._receive()
            elif pipes and fd == pipes.stdin:
                self._feed(pipes)
            elif pipes and fd == pipes.stdout:
                self._collect(pipes)
            elif fd == self.zygote.sock.fileno():
                self._on_status()
        return bool(events)

    def _write(self) -> None:
        try:
            del self._out[: self.sock.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self._out.clear()

    def _receive(self) -> bool:
        """Take what has arrived; False when there is nothing, or no room for more."""
        if len(self._in) >= 4 * MAX_FRAME:
            return False
        try:
            part = (self.sock.recv(1 << 18) or None) if self.pid else self._greeted()
        except BlockingIOError:
            return False
        except OSError:
            part = None
        if part is None:
            self.sock.close()
            return False
        self._in += part
        return True

    def _greeted(self) -> bytes | None:
        """What the child wrote after its greeting, whose writer the kernel names; None at the
        end of the stream."""
        part, extra, _, _ = self.sock.recvmsg(1 << 18, socket.CMSG_SPACE(_CREDENTIALS.size))
        for level, kind, body in extra:
            if part and level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                self.pid = _CREDENTIALS.unpack(body[: _CREDENTIALS.size])[0]
        if not part:
            return None
        hello = frames.pack(inner.HELLO)
        if self.pid <= 0 or not part.startswith(hello):
            self.pid = 0
            raise Fault("the child did not greet")
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):  # its end is on the way to us
                self.pidfd = os.pidfd_open(self.pid)
        return part[len(hello) :]

    def _feed(self, pipes: Pipes) -> None:
        try:
            pipes.feed = pipes.feed[os.write(pipes.stdin, pipes.feed[: 1 << 16]) :]
        except BlockingIOError:
            return
        except OSError:
            pipes.feed = pipes.feed[:0]
        if not pipes.feed:
            os.close(pipes.stdin)
            pipes.stdin = -1

    def _collect(self, pipes: Pipes) -> bool:
        try:
            part = os.read(pipes.stdout, 1 << 16)
        except BlockingIOError:
            return False
        if not part:
            os.close(pipes.stdout)
            pipes.stdout = -1
            return False
        pipes.output += part
        if len(pipes.output) > self.limits.output:
            self.kill("output_limit", {"type": "OutputLimit", "message": "too much output"})
            return False
        return True

    def _on_status(self) -> None:
        data = self.zygote.sock.recv(64)
        if not data:
            raise Fault("the zygote ended")
        self.status, cpu, _ = jail.unpack_status(data)
        self.cpu = max(self.cpu, cpu)
        while self.sock.fileno() >= 0 and self._receive():
            pass
        while self.pipes and self.pipes.stdout >= 0 and self._collect(self.pipes):
            pass
        self.ended = self._killed or self._ending(self.status)
        if self.pid == 0:
            raise Fault("the zygote or its child ended before the greeting")

    @staticmethod
    def _ending(status: int) -> tuple[str, dict[str, Any] | None]:
        if not os.WIFSIGNALED(status):
            return "premature_exit", {"type": "Exit", "message": f"status {os.WEXITSTATUS(status)}"}
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU:
            return "timeout", {"type": "Timeout", "message": "cpu time"}
        with contextlib.suppress(ValueError):
            return "signal", {"type": signal.Signals(number).name, "message": ""}
        return "signal", {"type": f"SIG{number}", "message": ""}

    def finish(self) -> None:
        """End it, wait for the zygote's word, and release what we hold. Raises Fault."""
        try:
            if self.ended is None:
                self.kill("done")
            while self.ended is None:
                self._step()
        finally:
            self.close()

    def close(self) -> None:
        """Release file descriptors, whatever the state."""
        self.sock.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        if self.pipes:
            for fd in (self.pipes.stdin, self.pipes.stdout):
                if fd >= 0:
                    os.close(fd)
            self.pipes = None
