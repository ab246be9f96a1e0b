"""The loop of a slot's worker: takes programs from the trainer, heals its processes, answers."""

import contextlib
import gc
import json
import os
import time
import warnings
from typing import Any

from ..wire import frames, launch
from ..wire.launch import WorkerConfig
from ..wire.records import (
    BROKEN,
    CallTests,
    Ending,
    ErrorReport,
    JudgeRequest,
    Outcome,
    StdinTests,
    Tests,
)
from . import calls, code, stdin
from .calls import SuiteCache
from .compiled import compile_ahead, compile_source, with_prelude
from .handles import SLOWER_TRACED, Fault, Handles, HelperFault, SuiteFault
from .limits import Limits
from .runner import Runner

_NOTHING = JudgeRequest("", StdinTests([("", "")], "lines", ""))


class Worker:
    """Judges programs one after the other."""

    def __init__(self, config: WorkerConfig) -> None:
        self.config = config
        self.handles = Handles(config)
        self.cache = SuiteCache()

    def judge_all(self, requests: list[JudgeRequest]) -> list[dict[str, Any]]:
        """The verdicts on several programs."""
        answers = compile_ahead(self.handles, [request.code for request in requests])
        return [self.judge(r, compiled) for r, compiled in zip(requests, answers, strict=True)]

    def judge(self, request: JudgeRequest, compiled: bytes = b"") -> dict[str, Any]:
        """The verdict on one program. What breaks is tried again on fresh processes.

        A program with which they break every time, while one that does nothing runs, broke them:
        that is its verdict, as a policy would else learn to have no verdict. ``compiled``: the
        compiler's answer, where it is there already.
        """
        begun = time.monotonic()
        broken: Exception | None = None
        for _ in range(self.config.retries + 1):
            try:
                cpu, endings = self._endings(request, compiled)
            except Exception as fault:  # noqa: BLE001  whatever a program did to us
                broken = fault
                self.handles.reset()
                continue
            return _verdict(cpu, endings, begun)
        reason = f"{type(broken).__name__}: {broken}"
        fresh = self.config.retries > 0  # the last try began with new processes
        if fresh and not isinstance(broken, SuiteFault) and self._is_sound():
            error = ErrorReport(BROKEN, message=f"it breaks the sandbox: {reason}"[:300])
            ending = Ending(Outcome.PROTOCOL_VIOLATION, error)
            if isinstance(broken, HelperFault):  # no sign of tampering
                ending = Ending(
                    Outcome.WRONG_ANSWER, ErrorReport("TestsEnded", message=reason[:300])
                )
            return _verdict(0.0, [ending] * _count(request.tests), begun)
        wall = time.monotonic() - begun
        return {"outcome": Outcome.SANDBOX_ERROR, "detail": reason[:500], "wall_s": wall}

    def _is_sound(self) -> bool:
        """Whether a program that does nothing runs here."""
        try:
            _, endings = self._endings(_NOTHING, b"")
        except Exception:  # noqa: BLE001  then something of ours is broken
            self.handles.reset()
            return False
        return endings[0].outcome is Outcome.PASS

    def _endings(self, request: JudgeRequest, answer: bytes) -> tuple[float, list[Ending]]:
        """CPU seconds, and the ending of each test. Raises Fault and OSError."""
        program, tests = compile_source(self.handles, request.code, answer), request.tests
        if isinstance(program, Ending):
            return 0.0, [program] * _count(tests)
        program = with_prelude(self.handles, program, tests.prelude)
        config, slower = self.config, SLOWER_TRACED if request.trace else 1
        limits = Limits(config.cpu_each * slower, config.cpu_total * slower, config.output_bytes)
        runner = Runner(self.handles, program, limits, traced=request.trace)
        try:
            endings = self._judged(runner, tests)
        except Exception:
            if runner.violation is None:
                raise
            self.handles.reset()
            endings = [runner.violation] * _count(tests)
        if runner.violation and all(e.outcome is not Outcome.PROTOCOL_VIOLATION for e in endings):
            endings[-1] = runner.violation  # a test caught it, or did not end
        return runner.cpu, endings

    def _judged(self, runner: Runner, tests: Tests) -> list[Ending]:
        if isinstance(tests, CallTests):
            return calls.judge(runner, tests, self.cache)
        if isinstance(tests, StdinTests):
            return stdin.judge(runner, tests)
        return code.judge(runner, tests, self.cache)


def _verdict(cpu: float, endings: list[Ending], begun: float) -> dict[str, Any]:
    """The worst ending and all of them."""
    worst = max(endings, key=lambda ending: ending.outcome.severity)
    verdict = worst._replace(lines=None).as_dict()
    verdict["cases"] = [ending.as_dict() for ending in endings]
    return verdict | {"cpu_s": cpu, "wall_s": time.monotonic() - begun}


def _count(tests: Tests) -> int:
    if isinstance(tests, CallTests):
        return len(tests.calls)
    # Only a run would tell how many tests a check() holds: it counts as one.
    return len(tests.runs) if isinstance(tests, StdinTests) else len(tests.asserts) or 1


def start(text: str, channel: str) -> None:
    """Serve the trainer on file descriptor ``channel`` until it closes it."""
    config, fd = WorkerConfig(**json.loads(text)), int(channel)
    warnings.simplefilter("ignore")
    launch.die_with_parent(config.trainer)
    worker = Worker(config)
    # Messages are trees without cycles: looking for some after every few hundred is waste.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    inbox = frames.Inbox(fd)
    try:
        try:
            worker.handles.start("slim", "compiler")  # what nearly every program needs
        except Fault as fault:
            frames.write(fd, json.dumps({"fault": str(fault)}).encode())
            return
        frames.write(fd, json.dumps({"level": config.level}).encode())
        with contextlib.suppress(frames.Closed, ConnectionError, BrokenPipeError):
            while True:
                message = json.loads(inbox.read())
                suites = message["suites"]
                requests = [
                    JudgeRequest.from_json({**program, "suite": suites[number]})
                    for program, number in message["programs"]
                ]
                frames.write(fd, json.dumps(worker.judge_all(requests)).encode())
    finally:
        worker.handles.reset()
        os.close(fd)
