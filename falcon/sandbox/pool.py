"""Sandbox: a pool of slots that judges programs and replaces what breaks.

One daemon thread a slot owns one worker process. Programs are data here: a verdict is looked up
in the cache or comes from a worker.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from falcon.config import Settings
from falcon.errors import SlotFault
from falcon.files import cache_folder
from falcon.sandbox.cache import FILE, VerdictCache, prefix
from falcon.sandbox.isolation import LAYERS, probe, require
from falcon.sandbox.judging import Jobs, Judging
from falcon.sandbox.program import Program
from falcon.sandbox.slot import Message, Slot
from falcon.sandbox.verdict import Outcome, Verdict


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
        with self.judging() as handed_in:
            for program in programs:  # first: a fault in one is found before any is run
                handed_in.read(program.suite)
            for program in programs:
                handed_in.add(program)
            return handed_in.verdicts(progress)

    def judging(self) -> Judging:
        """To hand in programs one by one, which are judged meanwhile."""
        if self._closed:
            raise RuntimeError("the sandbox is closed")
        return Judging(self._jobs, self._cache, self._common, self._count)

    def _count(self, judged: int, reused: int) -> None:
        with self._counting:
            self.judged += judged
            self.reused += reused

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
