"""Sandbox: a pool of slots that judges programs and replaces what breaks.

One daemon thread a slot owns one worker process. Programs are data here: a verdict is looked up
in the cache or comes from a worker.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from dataclasses import dataclass

from falcon.config import Settings
from falcon.errors import SlotFault
from falcon.files import cache_folder
from falcon.sandbox.cache import FILE, VerdictCache, key_of, prefix
from falcon.sandbox.isolation import LAYERS, probe, require
from falcon.sandbox.program import Program, suite_message
from falcon.sandbox.slot import Message, Slot
from falcon.sandbox.verdict import Outcome, Verdict

BATCH = 8  # programs sent to a slot at once, at most: each message costs both sides a wake-up
_Messages = list[tuple[Message, bytes]]  # programs as they are sent, and digests of their suites


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """One program as it is sent, the digest of its suite, and where its verdict goes."""

    message: Message
    suite: bytes
    verdict: Future[Verdict]


class Jobs:
    """Queues of jobs, one a slot. Safe to use from several threads.

    Programs of one suite go to one slot as long as it keeps up, because its worker remembers the
    suite. A slot with an empty queue takes from the longest one.
    """

    def __init__(self, slots: int) -> None:
        self._queues: list[deque[QueuedJob]] = [deque() for _ in range(slots)]
        self._ready = threading.Condition()
        self._closed = False

    def put(self, jobs: list[QueuedJob]) -> None:
        """Add jobs to the queues of their suites."""
        with self._ready:
            for job in jobs:
                place = int.from_bytes(job.suite[:8], "big") % len(self._queues)
                self._queues[place].append(job)
            self._ready.notify_all()

    def take(self, slot: int) -> list[QueuedJob]:
        """Wait for jobs; many at once while the queue is long, few near its end, so that slots
        finish together. Empty once the queues are closed and done."""
        with self._ready:
            while not any(self._queues):
                if self._closed:
                    return []
                self._ready.wait()
            queue = self._queues[slot] or max(self._queues, key=len)
            return [queue.popleft() for _ in range(min(BATCH, 1 + len(queue) // 4))]

    def close(self) -> None:
        """No more will come."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()


class Sandbox:
    """Runs untrusted programs at the best isolation level of the machine.

    Raises UserError where programs cannot be run safely. Use it as a context manager, or
    call :meth:`close`. Safe to use from several threads. ``judged`` and ``reused`` count the
    programs that were run and those whose verdict came from the cache (``machine.cache``).
    """

    def __init__(self, settings: Settings, *, level: str = "") -> None:
        """``level`` forces a weaker level than the machine's best (for tests)."""
        self.settings = settings
        self._level = level or require(probe(), settings.machine)
        self.judged, self.reused = 0, 0
        self._counting = threading.Lock()
        self._cache = VerdictCache(cache_folder() / FILE) if settings.machine.cache else None
        self._common = prefix(settings.sandbox, self._level) if self._cache else b""
        self._jobs = Jobs(settings.machine.workers)
        self._closed = False
        self._threads = [
            threading.Thread(target=self._serve, args=(i,), name=f"sandbox-{i}", daemon=True)
            for i in range(settings.machine.workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def isolation(self) -> str:
        """Level programs run at: L3, L2 or L1."""
        return self._level

    @property
    def missing(self) -> tuple[str, ...]:
        """Layers of L3 that this level goes without."""
        return LAYERS[self._level]

    def judge(self, program: Program) -> Verdict:
        """The verdict on one program."""
        return self.judge_all([program])[0]

    def judge_all(
        self, programs: Sequence[Program], progress: Callable[[int], None] | None = None
    ) -> list[Verdict]:
        """Verdicts in the order given. ``progress`` is called with the number done, in this thread.

        Raises UserError for a suite whose values are not plain data, before any is run.
        """
        if self._closed:
            raise RuntimeError("the sandbox is closed")
        # The text of a suite is made and held once for all of its programs.
        suites: dict[int, tuple[bytes, bytes]] = {}
        messages: _Messages = []
        for program in programs:
            key = id(program.suite)
            if key not in suites:
                text = json.dumps(suite_message(program.suite)).encode()
                suites[key] = text, hashlib.sha256(text).digest()
            suite, suite_digest = suites[key]
            fields = {"code": program.message} | ({"trace": True} if program.trace else {})
            messages.append((Message(json.dumps(fields).encode(), suite), suite_digest))
        if self._cache is None:
            verdicts = self._run(messages, progress)
            self._count(judged=len(verdicts))
            return verdicts
        return self._look_up(self._cache, messages, progress)

    def _look_up(
        self, cache: VerdictCache, messages: _Messages, progress: Callable[[int], None] | None
    ) -> list[Verdict]:
        keys = [key_of(self._common, message.program, suite) for message, suite in messages]
        verdicts = cache.find(list(dict.fromkeys(keys)))
        new = {k: m for k, m in zip(keys, messages, strict=True) if k not in verdicts}
        reused = len(messages) - len(new)
        if progress and reused:
            progress(reused)
        report = (lambda done: progress(reused + done)) if progress else None
        fresh = dict(zip(new, self._run(list(new.values()), report), strict=True))
        cache.keep(fresh)
        self._count(judged=len(fresh), reused=reused)
        verdicts |= fresh
        return [verdicts[key] for key in keys]

    def _count(self, judged: int = 0, reused: int = 0) -> None:
        with self._counting:
            self.judged += judged
            self.reused += reused

    def _run(self, messages: _Messages, progress: Callable[[int], None] | None) -> list[Verdict]:
        jobs = [QueuedJob(message, suite, Future()) for message, suite in messages]
        futures = [job.verdict for job in jobs]
        self._jobs.put(jobs)
        pending = set(futures)
        try:
            while pending:
                when = FIRST_COMPLETED if progress else ALL_COMPLETED
                _, pending = wait(pending, return_when=when)
                if progress:
                    progress(len(futures) - len(pending))
        except BaseException:  # Ctrl-C, say: what no slot has begun is not judged
            for future in futures:
                future.cancel()
            raise
        return [future.result() for future in futures]

    def _serve(self, number: int) -> None:
        slot: Slot | None = None
        try:
            while taken := self._jobs.take(number):
                batch = [job for job in taken if job.verdict.set_running_or_notify_cancel()]
                try:
                    slot, verdicts = self._judge_batch(slot, [job.message for job in batch])
                except BaseException as fault:  # noqa: BLE001  handed to the waiting callers
                    for job in batch:
                        job.verdict.set_exception(fault)
                    continue
                for job, verdict in zip(batch, verdicts, strict=True):
                    job.verdict.set_result(verdict)
        finally:
            if slot is not None:
                slot.close()

    def _judge_batch(
        self, slot: Slot | None, messages: list[Message]
    ) -> tuple[Slot | None, list[Verdict]]:
        if slot is not None and len(messages) > 1:
            try:
                return slot, [self._verdict(raw) for raw in slot.judge(messages)]
            except SlotFault:  # one of them may be to blame: each gets tries of its own below
                slot.close()
                slot = None
        verdicts = []
        for message in messages:
            slot, verdict = self._judge(slot, message)
            verdicts.append(verdict)
        return slot, verdicts

    def _judge(self, slot: Slot | None, message: Message) -> tuple[Slot | None, Verdict]:
        reason = ""
        for _ in range(self.settings.machine.retries + 1):
            try:
                slot = slot or Slot(self.settings, self._level)
                (raw,) = slot.judge([message])
                return slot, self._verdict(raw)
            except SlotFault as fault:
                reason = str(fault)
                if slot is not None:
                    slot.close()
                slot = None
        return None, self._verdict({"outcome": Outcome.SANDBOX_ERROR, "detail": reason[:500]})

    def _verdict(self, raw: dict[str, object]) -> Verdict:
        return Verdict.model_validate({**raw, "isolation": self._level})

    def close(self) -> None:
        """End every slot and its processes. Programs still queued are judged first."""
        if self._closed:
            return
        self._closed = True
        self._jobs.close()
        for thread in self._threads:
            thread.join()
        if self._cache is not None:
            self._cache.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
