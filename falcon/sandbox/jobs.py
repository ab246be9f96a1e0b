"""Jobs: programs that wait for a slot, in one queue a slot.

Programs of one suite go to one slot as long as it keeps up, because its worker remembers the
suite. A slot with an empty queue takes from the longest one.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass

from falcon.sandbox.verdict import Verdict

BATCH = 8
"""Programs sent to a slot at once, at most: each message costs both sides a wake-up."""


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """One program as it is sent, the hash of its suite, and where its verdict goes."""

    message: bytes
    suite: int
    verdict: Future[Verdict]


class Jobs:
    """Queues of jobs. Safe to use from several threads."""

    def __init__(self, slots: int) -> None:
        self._queues: list[deque[QueuedJob]] = [deque() for _ in range(slots)]
        self._ready = threading.Condition()
        self._closed = False

    def put(self, jobs: list[QueuedJob]) -> None:
        """Add jobs to the queues of their suites."""
        with self._ready:
            for job in jobs:
                self._queues[job.suite % len(self._queues)].append(job)
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
