"""One running child as the worker sees it: frames, streams, time, and how it ended."""

import contextlib
import os
import select
import signal
import socket
import struct
import time

from ..wire import codec, frames
from ..wire.frames import HEAD
from ..wire.messages import NONCE, STATUS_BYTES, Reply, unpack_status
from ..wire.records import Ending, ErrorReport, Outcome
from .handles import ConfinedProcess, Fault
from .limits import Limits, Stopwatch, Streams

MAX_FRAME = 2 * codec.ROOMIEST * codec.BYTES + 4096
_HELLO_SECONDS = 20.0
_KILL_SECONDS = 5.0
# How long the answers of a patient child are left unread: nearly all are done by then.
_QUIET_SECONDS = 0.02
_CREDENTIALS = struct.Struct("3i")  # process, user, group


class ChildHandle:
    """A forked child. ``ended`` is None while it runs.

    A child lives through these steps. Its zygote forks it; it greets, and the kernel names the
    writer: only then its process id and clock are known. It answers until it exits or is
    killed. The zygote reports its status, and with that message it has ended.

    ``patient``: all requests are sent at once and the child exits by itself. At first its
    answers wait in the socket and we sleep until it exits: one wake-up for a whole program. A
    slow child is then watched answer by answer, so that limits hold for each test.
    """

    def __init__(
        self,
        zygote: ConfinedProcess,
        limits: Limits,
        spent: float,
        *,
        stdin: bytes | None = None,
        patient: bool = False,
    ) -> None:
        self.zygote = zygote
        self.ended: Ending | None = None
        self.status: int | None = None
        self.pidfd = -1
        self._in, self._out = bytearray(), bytearray()
        self._killed: Ending | None = None
        self.sock, theirs = socket.socketpair()
        self.streams = Streams(stdin, limits.output) if stdin is not None else None
        given = [theirs.fileno(), *(self.streams.theirs if self.streams else ())]
        # Asks the kernel to attach the writer's process id to the first bytes that come.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.setblocking(False)
        try:
            socket.send_fds(zygote.sock, [b"F"], given)
        except OSError as fault:
            self.close()
            raise Fault(f"the zygote is gone: {fault}") from None
        finally:
            # The child's ends must be its own alone, or we would never see the end of a stream.
            theirs.close()
            for fd in given[1:]:
                os.close(fd)
        zygote.uses_left -= 1
        self.watch = Stopwatch(limits, spent)
        self._quiet_until = time.monotonic() + (min(_QUIET_SECONDS, limits.cpu) if patient else 0)

    def begin_test(self) -> None:
        """Time counts for a new test from here."""
        if self.ended is None:
            self.watch.begin_test()

    def send(self, payload: bytes) -> None:
        """Queue one frame; it is written when an answer is waited for."""
        self._out += frames.pack(payload)

    def kill(self, reason: Ending) -> None:
        """SIGKILL; the first reason given is the one reported. Raises Fault."""
        if self._killed is None:
            self._killed = reason
        if self.status is not None:  # it is gone already, and what it sent was wrong
            self.ended = self.ended and self._killed
            return
        # Before the greeting nobody knows whom to kill; its end may come instead.
        while self.watch.pid == 0 and self.ended is None:
            self._await_greeting()
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def next_frame(self) -> bytes | None:
        """The next frame of the child, or None once it has ended (see ``ended``)."""
        while (frame := self._take_frame()) is None and self.ended is None:
            self._step()
        return frame

    @property
    def unread(self) -> bytes:
        """The beginning of what it sent and nobody took: of a frame that was cut off by its end, or
        of none."""
        return bytes(self._in[: HEAD + 1 + NONCE])

    def breaks(self, how: str) -> None:
        """It has ended, and what it sent breaks the protocol: that is its ending."""
        if self.ended is None or self.ended.outcome is not Outcome.PROTOCOL_VIOLATION:
            self.ended = violation(how)

    def _take_frame(self) -> bytes | None:
        if self._killed is not None:
            return None
        try:
            return frames.take(self._in, 1 + NONCE, MAX_FRAME)
        except frames.BadFrame:
            self.kill(violation("not a frame"))
            return None

    def _step(self) -> None:
        """Wait for the next event of the child's life. Raises Fault."""
        if self._out and self.ended is None:
            self._write()
        quiet = self._quiet_until - time.monotonic()
        if quiet > 0 and not self._out and self._killed is None:
            self._wait(quiet, answers=False)
        elif self.watch.pid == 0:
            self._await_greeting()
        else:
            timeout = _KILL_SECONDS if self._killed else self._time_left()
            if not self._wait(timeout, answers=True) and self._killed:
                raise Fault("the zygote did not report a killed child")

    def _time_left(self) -> float:
        try:
            return self.watch.left()
        except TimeoutError as fault:
            self.kill(Ending(Outcome.TIMEOUT, ErrorReport("Timeout", message=str(fault))))
            return _KILL_SECONDS

    def _await_greeting(self) -> None:
        if not self._wait(_HELLO_SECONDS, answers=True):
            raise Fault("the zygote did not fork")

    def _wait(self, seconds: float, *, answers: bool) -> bool:
        """Handle what happens first within ``seconds``; False when nothing did. Without
        ``answers`` only its end and its output wake us."""
        poll = select.poll()
        if answers and self.sock.fileno() >= 0:
            poll.register(self.sock, select.POLLIN | (select.POLLOUT if self._out else 0))
        poll.register(self.zygote.sock, select.POLLIN)
        streams = self.streams
        if streams and streams.stdout >= 0:
            poll.register(streams.stdout, select.POLLIN)
        events = poll.poll(seconds * 1000)
        for fd, event in events:
            if fd == self.sock.fileno():
                if event & select.POLLOUT:
                    self._write()
                if event & ~select.POLLOUT:
                    self._receive()
            elif streams and fd == streams.stdout:
                self._collect(streams)
            elif fd == self.zygote.sock.fileno():
                self._on_status()
        return bool(events)

    def _write(self) -> None:
        try:
            del self._out[: self.sock.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:  # it has closed its end or is gone: its answers and status will tell
            self._out.clear()

    def _receive(self) -> bool:
        """Take what has arrived; False when there is nothing, or no room for more."""
        if len(self._in) >= 4 * MAX_FRAME:
            return False
        try:
            part = (self.sock.recv(1 << 18) or None) if self.watch.pid else self._greeted()
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
        if not part:
            return None
        pid = 0
        for level, kind, body in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                pid = _CREDENTIALS.unpack(body[: _CREDENTIALS.size])[0]
        hello = frames.pack(Reply.HELLO)
        if pid <= 0 or not part.startswith(hello):
            raise Fault("the child did not greet")
        self.watch.pid = pid
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        # After its end the number may be another process's; before, the zygote holds it.
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):  # its end is on the way to us
                self.pidfd = os.pidfd_open(pid)
        return part[len(hello) :]

    def _collect(self, streams: Streams) -> bool:
        more = streams.collect()
        if streams.overflows:
            error = ErrorReport("OutputLimit", message="too much output")
            self.kill(Ending(Outcome.OUTPUT_LIMIT, error))
        return more

    def _on_status(self) -> None:
        data = self.zygote.sock.recv(64)
        if len(data) != STATUS_BYTES:
            raise Fault(f"the zygote ended: {data.decode('utf-8', 'replace')}")
        self.status, cpu, clean = unpack_status(data)
        if not clean:
            self.zygote.uses_left = 0
        self.watch.cpu = max(self.watch.cpu, cpu)
        # What it sent before its end counts.
        while self.sock.fileno() >= 0 and self._receive():
            pass
        while self.streams and self.streams.stdout >= 0 and self._collect(self.streams):
            pass
        self.ended = self._killed or _ending(self.status)
        if self.watch.pid == 0:
            raise Fault("the zygote or its child ended before the greeting")

    def finish(self) -> None:
        """End it, wait for the zygote's report, and release what we hold. Raises Fault."""
        try:
            if self.ended is None:
                self.kill(Ending(Outcome.PREMATURE_EXIT))  # nobody will ask for this ending
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
        if self.streams:
            self.streams.close()


def violation(message: str) -> Ending:
    """The ending of a test whose answer breaks the protocol."""
    return Ending(Outcome.PROTOCOL_VIOLATION, ErrorReport("Protocol", message=message))


def _ending(status: int) -> Ending:
    """What a wait status stands for. Exit status 0 earns nothing: anybody can exit."""
    if not os.WIFSIGNALED(status):
        note = f"status {os.WEXITSTATUS(status)}"
        return Ending(Outcome.PREMATURE_EXIT, ErrorReport("Exit", message=note))
    number = os.WTERMSIG(status)
    if number == signal.SIGXCPU:
        return Ending(Outcome.TIMEOUT, ErrorReport("Timeout", message="cpu time"))
    try:
        name = signal.Signals(number).name
    except ValueError:  # a real-time signal
        name = f"SIG{number}"
    return Ending(Outcome.SIGNAL, ErrorReport(name))
