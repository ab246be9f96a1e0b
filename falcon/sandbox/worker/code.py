"""Suites of test code. Asserts on literal calls are judged here; all else needs the oracle.

The oracle's tests call the program by way of the worker, call by call, and each such call costs
two turns of three processes. But a test mostly makes the same calls of every program of a
group. So the calls that it made of the last program are put to the next one at once, and the
oracle then runs the test on those replies. It takes a reply only where the test makes exactly
the foreseen call, in order. At the first difference all of it is thrown away, the time spent
too, and the program is judged call by call: no verdict depends on what was judged before.
"""

from __future__ import annotations

import json
import marshal
from functools import partial
from typing import Any

from ..wire.messages import LIVES_HERE, TAMPERED, OracleMessage, Reply
from ..wire.records import CodeTests, Ending, ErrorReport, Outcome
from ..wire.store import size_of
from . import calls, literal
from .calls import SuiteCache
from .compiled import clean_error
from .handles import HelperFault, SuiteFault
from .runner import Execution, ProgramAnswer, Runner

ORACLE_SECONDS = 10.0
MOST_BYTES = 1 << 18  # a test whose calls have more bytes in all is not foreseen,
MOST_REPLIES = 1 << 24  # nor is a program whose replies have more,
MOST_MISSES = 3  # nor is one that made other calls this often in a row


def judge(runner: Runner, tests: CodeTests, cache: SuiteCache) -> list[Ending]:
    """The ending of each assert statement. Raises Fault."""
    asserts = literal.tests_of(tests.check, tests.asserts, tests.setup, tests.entry_point)
    if asserts is None:
        return _by_oracle(runner, tests, cache)
    questions = [
        calls.Question(t.request, partial(_settled, t), t.room) for t in asserts if t.request
    ]
    answered = calls.ask(runner, questions)
    outcomes = {ending.outcome for ending in answered}
    if Outcome.UNSERIALISABLE in outcomes and not runner.violation:
        runner.cpu = 0.0
        return _by_oracle(runner, tests, cache)  # which can ask more of an object than its data
    endings = iter(answered)
    return [next(endings) if test.request else _settled(test, None) for test in asserts]


def _settled(test: literal.Test, value: Any) -> Ending:
    try:
        return Ending(Outcome.PASS if test.holds(value) else Outcome.WRONG_ANSWER)
    except Exception as fault:  # noqa: BLE001  the comparison failed on what the program returned
        raw = {"type": type(fault).__name__, "message": f"in the test: {fault}"}
        return Ending(Outcome.WRONG_ANSWER, clean_error(raw, 0))


def _ending(raw: list[Any], runner: Runner) -> Ending:
    """An ending as the oracle sends it: what it says of an error may hold anything."""
    ending = Ending.from_list(raw)
    if ending.error is None:
        return ending
    return ending._replace(error=clean_error(ending.error._asdict(), runner.program.lines))


def _by_oracle(runner: Runner, tests: CodeTests, cache: SuiteCache) -> list[Ending]:
    foreseen, misses = cache.calls.get(tests) or ([], 0)
    if foreseen and not runner.traced:
        replies = _replies(runner, foreseen)
        endings = _on_replies(runner, tests, foreseen, replies) if replies else None
        if endings:
            return endings
        # What ran so far counts for nothing: its results are thrown away.
        runner.cpu, runner.violation = 0.0, None
        misses += replies is not None
    session = Session(runner)
    endings = _call_by_call(runner, tests, session)
    requests = session.requests
    # A program that was given an object of the tests may ask for something in the midst of a call.
    alone = any(LIVES_HERE in each for each in requests)
    if sum(map(len, requests)) > MOST_BYTES or misses >= MOST_MISSES or alone:
        requests, misses = [], MOST_MISSES
    size = size_of((tests.setup, tests.check, *tests.asserts, *requests))
    cache.calls.put(tests, (requests, misses), size)
    return endings


def _replies(runner: Runner, requests: list[bytes]) -> list[bytes] | None:
    """What the program replies to each request in turn; None when it dies of one, so that a
    fresh child is needed for the next, or when they are too large to be held together."""
    replies: list[bytes] = []
    size = 0
    with Execution(runner, patient=True) as execution:
        execution.ask_all(requests)
        if broken := execution.load():
            return [_error(broken)] * len(requests)
        while len(replies) < len(requests):
            runner.tests = len(replies) + 1  # as call by call
            value, ending, dead, _ = execution.answer()
            if ending is None:
                replies.append(Reply.VALUE + value)
                size += len(value)
                if size > MOST_REPLIES:
                    return None
                continue
            if ending.outcome is Outcome.TIMEOUT:  # as call by call, no other is made
                return replies + [_error(ending)] * (len(requests) - len(replies))
            if dead or ending.outcome is Outcome.PROTOCOL_VIOLATION:
                return None
            replies.append(_error(ending, value))
    return replies


def _error(ending: Ending, described: bytes = b"") -> bytes:
    """The oracle's reply frame; ``described``: what the child says of an exception that it caught
    in a call, which a test may want to catch, too."""
    text = json.dumps(ending).encode()
    return Reply.ERROR + len(text).to_bytes(4, "big") + text + described


def _on_replies(
    runner: Runner, tests: CodeTests, requests: list[bytes], replies: list[bytes]
) -> list[Ending] | None:
    """The endings, or None when the test made other calls than those."""
    server = runner.handles.server("oracle")
    pairs = marshal.dumps(list(zip(requests, replies, strict=True)))
    server.send(json.dumps(tests).encode(), pairs)
    try:
        message = server.receive(ORACLE_SECONDS, runner.limits.wall)
    except (TimeoutError, HelperFault):
        runner.handles.drop("oracle")
        return None
    if message[:1] != OracleMessage.ENDINGS:
        return None
    return [_ending(raw, runner) for _, raw in json.loads(message[1:])]


def _call_by_call(runner: Runner, tests: CodeTests, session: Session) -> list[Ending]:
    server = runner.handles.server("oracle")
    server.send(json.dumps(tests).encode(), b"")
    endings: dict[int, Ending] = {}
    try:
        while True:
            message = server.receive(ORACLE_SECONDS, runner.limits.wall)
            kind, body = message[:1], message[1:]
            if kind == OracleMessage.CALL:
                server.send(session.call(body))
            elif kind == OracleMessage.RESUME:
                server.send(session.resume(body))
            elif kind == OracleMessage.ENDINGS:
                for site, raw in json.loads(body):
                    if site == TAMPERED:
                        runner.violation = runner.violation or _ending(raw, runner)
                        continue
                    endings[site] = session.with_lines(_ending(raw, runner), endings.get(site))
            elif kind == OracleMessage.BROKEN:
                raise SuiteFault(f"the tests cannot run: {body.decode('utf-8', 'replace')}")
            else:
                break
    except TimeoutError:
        # A test that will not end on the values it got: the program that gave them is to blame.
        runner.handles.drop("oracle")
        endings[-1] = Ending(Outcome.TIMEOUT, ErrorReport("TestTimeout"))
    finally:
        session.close()
    if session.calls:
        # What it returned may have led the tests past all their asserts.
        return [*endings.values()] or [Ending(Outcome.WRONG_ANSWER, ErrorReport("NoAssert"))]
    if not endings:
        raise SuiteFault("the tests asserted nothing, and called nothing of the program")
    broken = _loads(runner)
    return [broken or ending for ending in endings.values()]


def _loads(runner: Runner) -> Ending | None:
    """How loading fails of a program that the tests have not called; None where it does not."""
    with Execution(runner) as execution:
        return execution.load()


class Session:
    """The child behind the oracle's stubs, replaced when it dies. ``requests``: what it got, until
    that was too much to be foreseen; ``calls``: how many."""

    def __init__(self, runner: Runner) -> None:
        self.requests: list[bytes] = []
        self.calls = self._size = 0
        self._runner = runner
        self._execution: Execution | None = None
        # Set once no other child will be started: the reply to every further call.
        self._final: Ending | None = None
        self._loading: set[int] = set()
        self._lines: set[int] = set()

    def call(self, request: bytes) -> bytes:
        """Put one call to the program; the oracle's reply frame."""
        if self._size <= MOST_BYTES:
            self.requests.append(request)
            self._size += len(request)
        self.calls += 1
        self._runner.tests = self.calls
        if self._final is None and self._execution is None:
            self._execution = Execution(self._runner)
            self._final = self._execution.load()
            self._loading = self._execution.loading
        if self._final is not None:
            return _error(self._final)
        assert self._execution is not None
        return self._reply(self._execution.call(request))

    def resume(self, answer: bytes) -> bytes:
        """Answer what the program asks of the tests; the oracle's reply frame, as to a call."""
        if self._execution is None:
            return _error(self._final or Ending(Outcome.PREMATURE_EXIT))
        return self._reply(self._execution.resume(answer))

    def _reply(self, answer: ProgramAnswer) -> bytes:
        assert self._execution is not None
        self._lines |= self._execution.lines
        if answer.asks:
            return Reply.CALLBACK + answer.value
        if answer.ending is None:
            return Reply.VALUE + answer.value
        outcome = answer.ending.outcome
        gone = self._execution.child.ended is not None or outcome is Outcome.PROTOCOL_VIOLATION
        may_go_on = not gone or self._runner.may_respawn()
        if outcome is Outcome.TIMEOUT or not may_go_on:
            self._final = answer.ending
        if gone:
            self.close()
        return _error(answer.ending, answer.value)

    def with_lines(self, ending: Ending, before: Ending | None) -> Ending:
        """The ending of one test with the lines that ran since the last one, on loading, and in
        its earlier turns."""
        lines, self._lines = self._lines, set()
        earlier = set(before.lines or ()) if before else set()
        return self._runner.with_lines(ending, self._loading | lines | earlier)

    def close(self) -> None:
        """End the child, if there is one."""
        execution, self._execution = self._execution, None
        if execution is not None:
            execution.finish()
