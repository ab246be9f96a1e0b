"""Runner: runs one compiled program in children; Execution: one of them, from start to end.

The only place where a child is started, loaded, asked and ended, and where its time is added to
what the program has used. Nothing here knows what is expected.
"""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from ..wire.messages import NONCE, Job, Reply, pack_job
from ..wire.records import Ending, Outcome
from .child_handle import ChildHandle, violation
from .compiled import Compiled, clean_error
from .handles import Handles, SuiteFault
from .limits import Limits

MAX_RESPAWNS = 64
_ERROR_BYTES = 1 << 16
_OTHER_QUESTION = violation("an answer to another question")


class ProgramAnswer(NamedTuple):
    """An encoded value, or the ``ending`` in its place, and then what the child says of the
    exception, if it is one; ``dead``: no other answer will come; ``asks``: the value is what the
    program asks of the tests before it answers."""

    value: bytes
    ending: Ending | None
    dead: bool
    asks: bool = False


class Runner:
    """One program, the CPU seconds it has used, its tests, and how many of its children died."""

    def __init__(
        self, handles: Handles, program: Compiled, limits: Limits, *, traced: bool = False
    ) -> None:
        self.handles, self.program, self.limits, self.traced = handles, program, limits, traced
        self.cpu = 0.0
        self.tests = 0  # that are known of: time for all of them grows with their number
        # The first one. It counts even where what judges the answer is killed or hangs.
        self.violation: Ending | None = None
        self._respawns = 0

    def may_respawn(self) -> bool:
        """Count a child that is replaced; False when there were too many."""
        self._respawns += 1
        return self._respawns <= MAX_RESPAWNS

    def with_lines(self, ending: Ending, lines: set[int]) -> Ending:
        """The ending with the lines that ran for it, where a trace was asked for."""
        return ending._replace(lines=sorted(lines)) if self.traced else ending


class Execution:
    """A child with the program: a whole one if it has ``stdin``, else a module whose functions
    are called. ``loading``: the lines that ran while it was loaded; ``lines``: for the last answer.
    Use it as a context manager."""

    def __init__(
        self, runner: Runner, *, stdin: bytes | None = None, patient: bool = False
    ) -> None:
        self._runner = runner
        program, spent = runner.program, runner.cpu
        zygote = runner.handles.zygote(numpy=program.numpy)
        self.child = ChildHandle(zygote, runner.limits, spent, stdin=stdin, patient=patient)
        self.child.watch.total = runner.limits.total_of(runner.tests)
        kinds = (Job.MODULE, Job.MODULE_TRACED) if stdin is None else (Job.WHOLE, Job.WHOLE_TRACED)
        nonce = secrets.token_bytes(NONCE)
        self.child.send(pack_job(kinds[runner.traced], nonce, program.code, program.prelude))
        # Of the answers to come, in order: the first is to the program itself.
        self._nonces = deque([nonce])
        self.loading: set[int] = set()
        self.lines: set[int] = set()

    def __enter__(self) -> Execution:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """End the child and add its time to the program's. Raises Fault."""
        self.child.finish()
        self._runner.cpu += self.child.watch.cpu

    def ask_all(self, requests: Iterable[bytes]) -> None:
        """Queue requests, and that no more will come: the child exits after the last."""
        requests = list(requests)
        noise = secrets.token_bytes(NONCE * len(requests))  # one system call for all nonces
        for start, request in zip(range(0, len(noise), NONCE), requests, strict=True):
            nonce = noise[start : start + NONCE]
            self._nonces.append(nonce)
            self.child.send(nonce + request)
        self.child.send(b"")

    def call(self, request: bytes) -> ProgramAnswer:
        """Put one request to the loaded program, which may be waiting for :meth:`resume`."""
        nonce = secrets.token_bytes(NONCE)
        self._nonces.append(nonce)
        return self._said(nonce, request)

    def resume(self, answer: bytes) -> ProgramAnswer:
        """Answer what the program asks of the tests."""
        return self._said(self._nonces[-1], answer)

    def _said(self, nonce: bytes, payload: bytes) -> ProgramAnswer:
        self.child.begin_test()  # it was idle until now
        self.child.send(nonce + payload)
        self._new_answer()
        frame = self._next(nonce)
        if frame is not None and frame[: 1 + NONCE] == Reply.CALLBACK + nonce:
            return ProgramAnswer(frame[1 + NONCE :], None, False, asks=True)
        return self._answered(frame, self._nonces.pop())

    def load(self) -> Ending | None:
        """Wait until the program is loaded. The ending of all tests where it fails to."""
        self._await_prelude()
        nonce = self._nonces.popleft()
        ending = self._expect(Reply.LOADED, self._next(nonce), nonce)
        self.loading = self.lines
        if ending is None:
            self.child.begin_test()
        return ending

    def answer(self) -> ProgramAnswer:
        """Wait for the answer to the next of all requests."""
        self._new_answer()
        nonce = self._nonces.popleft()
        return self._answered(self._next(nonce), nonce)

    def _new_answer(self) -> None:
        self.lines = set()
        self.child.watch.total = self._runner.limits.total_of(self._runner.tests)

    def _answered(self, frame: bytes | None, nonce: bytes) -> ProgramAnswer:
        self.child.begin_test()
        ending = self._expect(Reply.VALUE, frame, nonce)
        if frame is None:
            return ProgramAnswer(b"", ending, True)
        described = ending is None or ending.outcome is Outcome.RUNTIME_ERROR
        return ProgramAnswer(frame[1 + NONCE :] if described else b"", ending, False)

    def run_whole(self) -> tuple[bool, Ending | None]:
        """Run a whole program to the end of its process: whether it says that it is done, and
        the ending where it says something else."""
        self._await_prelude()
        nonce = self._nonces.popleft()
        frame = self._next(nonce)
        if frame is None:
            return False, None
        ending = self._expect(Reply.DONE, frame, nonce)
        if ending == _OTHER_QUESTION:
            self.child.kill(ending)
        while self._next() is not None:
            ending = violation("more than one ending")
        return True, ending

    def _expect(self, kind: bytes, frame: bytes | None, nonce: bytes) -> Ending | None:
        """None for an answer of this kind with this nonce, else the ending it stands for."""
        if frame is not None and frame[1 : 1 + NONCE] != nonce:
            ending: Ending | None = _OTHER_QUESTION
        else:
            right = frame is not None and frame[:1] == kind
            ending = None if right else self._failure(frame)
        if ending and ending.outcome is Outcome.PROTOCOL_VIOLATION:
            self._runner.violation = self._runner.violation or ending
        return ending

    def _next(self, nonce: bytes = b"") -> bytes | None:
        """The next answer, which should have this ``nonce`` (none: no answer should come), None at
        the end; lines that ran before it go into ``lines``."""
        frame = self.child.next_frame()
        while self._runner.traced and frame is not None and frame[:1] == Reply.TRACE:
            try:
                traced = json.loads(frame[1 + NONCE :])
            except (ValueError, RecursionError):
                traced = None
            if isinstance(traced, list):
                last = self._runner.program.lines
                self.lines |= {n for n in traced if type(n) is int and 0 < n <= last}
            frame = self.child.next_frame()
        part = self.child.unread if frame is None else b""
        # Its end may cut the answer off, and after a kill it is not taken; it begins as it should.
        if part and not (nonce and part.endswith(nonce)):
            self.child.breaks("what it sent last is no answer")
        return frame

    def _await_prelude(self) -> None:
        """Let the suite's prelude run. Raises SuiteFault when it fails: nothing of the program has
        run by then, so it is not to blame."""
        if not self._runner.program.prelude:
            return
        frame = self.child.next_frame()
        if frame is None or frame[:1] != Reply.PRELUDE_RAN:
            ended = frame[1 + NONCE : 400].decode("utf-8", "replace") if frame else self.child.ended
            raise SuiteFault(f"the prelude of the tests fails: {ended}")

    def _failure(self, frame: bytes | None) -> Ending:
        """The ending that an answer other than a value, or the end of the child, stands for."""
        if frame is None:
            return self.child.ended or Ending(Outcome.PREMATURE_EXIT)
        kind, body, lines = frame[:1], frame[1 + NONCE :], self._runner.program.lines
        if kind == Reply.ERROR:
            try:
                error = clean_error(json.loads(body[:_ERROR_BYTES]), lines)
            except (ValueError, RecursionError):
                return violation("garbled error")
            memory = error.type == "MemoryError"
            return Ending(Outcome.MEMORY if memory else Outcome.RUNTIME_ERROR, error)
        note = {"type": "Result", "message": body[:200].decode("utf-8", "replace")}
        if kind == Reply.UNSERIALISABLE:
            return Ending(Outcome.UNSERIALISABLE, clean_error(note, 0))
        if kind == Reply.TOO_LARGE:
            return Ending(Outcome.OUTPUT_LIMIT, clean_error(note, 0))
        return violation("unknown answer")
