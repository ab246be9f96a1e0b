"""Judging: programs are handed in one by one, from any thread, and judged while more are written.

The queues between those who hand in and the slots are here, too.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from falcon.sandbox.cache import VerdictCache, key_of
from falcon.sandbox.program import Program, suite_message
from falcon.sandbox.slot import Message

if TYPE_CHECKING:
    from falcon.sandbox.verdict import Verdict
    from falcon.suite import Suite

BATCH = 8  # programs sent to a slot at once, at most: each message costs both sides a wake-up


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

    def put(self, job: QueuedJob) -> None:
        """Add a job to the queue of its suite."""
        with self._ready:
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


class Judging(AbstractContextManager["Judging"]):
    """Verdicts on programs in the order in which they were handed in.

    Leaving the block by an exception (Ctrl-C, say) gives up what no slot has begun.
    """

    def __init__(
        self,
        jobs: Jobs,
        cache: VerdictCache | None,
        common: bytes,
        count: Callable[[int, int], None],
    ) -> None:
        self._jobs, self._cache, self._common, self._count = jobs, cache, common, count
        self._lock = threading.Lock()
        self._suites: dict[int, tuple[Suite, bytes, bytes]] = {}
        self._all: list[Future[Verdict]] = []
        self._new: dict[bytes, Future[Verdict]] = {}  # those that are run, by key

    def read(self, suite: Suite) -> tuple[bytes, bytes]:
        """A suite as it is sent, and its digest; made and held once for all of its programs.

        Raises UserError for one whose values are not plain data.
        """
        with self._lock:
            key = id(suite)
            if key not in self._suites:
                text = json.dumps(suite_message(suite)).encode()
                self._suites[key] = suite, text, hashlib.sha256(text).digest()
            return self._suites[key][1:]

    def add(self, program: Program) -> int:
        """Hand in a program; its number, from 0. Raises as :meth:`read`."""
        suite, digest = self.read(program.suite)
        fields = {"code": program.message} | ({"trace": True} if program.trace else {})
        code = json.dumps(fields).encode()
        with self._lock:
            self._all.append(self._verdict(code, suite, digest))
            return len(self._all) - 1

    def _verdict(self, code: bytes, suite: bytes, digest: bytes) -> Future[Verdict]:
        """The verdict that is kept, that is being made already, or a new one."""
        key = key_of(self._common, code, digest)
        if self._cache is None:
            key += len(self._all).to_bytes(8, "big")  # equal programs are run each for itself
        elif key in self._new:
            return self._new[key]
        future: Future[Verdict] = Future()
        if self._cache is not None and (kept := self._cache.find([key])):
            future.set_result(kept[key])
            return future
        self._new[key] = future
        self._jobs.put(QueuedJob(Message(code, suite), digest, future))
        return future

    def verdicts(self, progress: Callable[[int], None] | None = None) -> list[Verdict]:
        """All verdicts. ``progress`` is called with the number done, in this thread."""
        times = Counter(self._all)  # equal programs share one
        finished, pending = 0, set(times)
        while pending:
            done, pending = wait(
                pending, return_when=FIRST_COMPLETED if progress else ALL_COMPLETED
            )
            finished += sum(times[future] for future in done)
            if progress:
                progress(finished)
        if self._cache is not None:
            self._cache.keep({key: future.result() for key, future in self._new.items()})
        self._count(len(self._new), len(self._all) - len(self._new))
        return [future.result() for future in self._all]

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            for future in self._all:
                future.cancel()
