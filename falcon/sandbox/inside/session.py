"""Judging by the oracle: its test code asks, the program's child answers.

Call by call that costs two turns of three processes each. A test mostly asks every program
of a group the same, so what it asked of the last one is put to the next one at once, and the
oracle then runs the test on those answers. It takes one only where it asks exactly what was
foreseen, in order; at the first difference all of it is thrown away, the time spent too, and
the program is judged call by call.
"""

from __future__ import annotations

import json
import marshal
import secrets
from typing import TYPE_CHECKING, Any

from . import child as inner
from . import oracle
from .childproc import Child
from .helpers import Fault, Server

if TYPE_CHECKING:
    from .judge import Case, Judge

ORACLE_SECONDS = 10.0
MAX_RESPAWNS = 64
MOST_BYTES = 1 << 18
"""A test that asks more than this in all is not foreseen."""
MOST_MISSES = 3
"""Nor is one that asked something else this often in a row."""


def by_oracle(judge: Judge, suite: dict[str, Any]) -> list[Case]:
    """Cases of a suite whose test code must run. Raises Fault."""
    key = tuple(map(repr, suite.values()))
    calls, misses = judge.known.asked.get(key) or ([], 0)
    if calls and not judge.traced:
        before = judge.cpu
        replies = _replies(judge, calls)
        cases = _foreseen(judge, suite, calls, replies) if replies else None
        if cases:
            return cases
        judge.cpu = before
        misses += replies is not None
    session = Session(judge)
    cases = _by_calls(judge, suite, session)
    size = sum(map(len, session.asked))
    if size > MOST_BYTES or misses >= MOST_MISSES:
        judge.known.asked.put(key, ([], MOST_MISSES), 1000)
    else:
        judge.known.asked.put(key, (session.asked, misses), 1000 + size)
    return cases


def _foreseen(
    judge: Judge, suite: dict[str, Any], calls: list[bytes], replies: list[bytes]
) -> list[Case] | None:
    """The cases, or None when the test did not ask what was foreseen."""
    server: Server = judge.helper("oracle")
    server.begin()
    server.send(json.dumps(suite).encode(), marshal.dumps(list(zip(calls, replies, strict=True))))
    try:
        frame = server.receive(ORACLE_SECONDS)
    except TimeoutError:
        judge.helper("oracle:drop")
        return None
    return list(json.loads(frame[1:])) if frame[:1] == oracle.CASES else None


def _replies(judge: Judge, calls: list[bytes]) -> list[bytes] | None:
    """What the program answers to each call in turn; None when it dies of one, so that a
    fresh child is needed for the next."""
    replies: list[bytes] = []
    running = judge.child(patient=True)
    try:
        nonces = judge.put(running, calls)
        broken = judge.loaded(running, nonces[0])
        if broken:
            return [_error(broken)] * len(calls)
        for nonce in nonces[1:]:
            frame = judge.next(running)
            running.begin_test()
            case = judge.refused(frame, running, nonce)
            if frame is not None and case is None:
                replies.append(inner.VALUE + frame[9:])
                continue
            assert case is not None
            if case["outcome"] == "timeout":  # as call by call, no other is made
                return replies + [_error(case)] * (len(calls) - len(replies))
            if frame is None or case["outcome"] == "protocol_violation":
                return None
            replies.append(_error(case))
    finally:
        judge.end(running)
    return replies


def _error(case: Case) -> bytes:
    return inner.ERROR + json.dumps(case).encode()


def _by_calls(judge: Judge, suite: dict[str, Any], session: Session) -> list[Case]:
    server: Server = judge.helper("oracle")
    server.begin()
    server.send(json.dumps(suite).encode(), b"")
    cases: list[Case] = []
    try:
        while True:
            frame = server.receive(ORACLE_SECONDS)
            kind, body = frame[:1], frame[1:]
            if kind == oracle.CALL:
                server.send(session.call(body))
            elif kind == oracle.CASES:
                for case in json.loads(body):
                    cases.append(judge.with_lines(case, session.loading))
                    judge.ran = set()
            elif kind == oracle.BROKEN:
                raise Fault(f"the tests cannot run: {body.decode('utf-8', 'replace')}")
            else:
                break
    except TimeoutError:
        # A test that will not end on what it was given: the program's answer is to blame.
        judge.helper("oracle:drop")
        cases.append({"outcome": "timeout", "error": {"type": "TestTimeout", "message": ""}})
    finally:
        session.close()
    if not cases:
        raise Fault("the tests asserted nothing")
    return cases


class Session:
    """The child behind the oracle's stubs, replaced when it dies. ``asked``: the requests."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.running: Child | None = None
        self.dead: Case | None = None
        self.loading: set[int] = set()
        self.asked: list[bytes] = []

    def call(self, request: bytes) -> bytes:
        """Put one call to the program; the oracle's reply frame."""
        self.asked.append(request)
        if self.dead is None and self.running is None:
            ran = self.judge.ran
            self.running, self.dead = self.judge.load()
            self.loading, self.judge.ran = self.judge.ran, ran
        if self.dead is not None or self.running is None:
            return inner.ERROR + json.dumps(self.dead).encode()
        nonce = secrets.token_bytes(8)
        self.running.begin_test()
        self.running.send(nonce + request)
        frame = self.judge.next(self.running)
        case = self.judge.refused(frame, self.running, nonce)
        if frame is not None and case is None:
            return inner.VALUE + frame[9:]
        assert case is not None
        gone = self.running.ended is not None or case["outcome"] == "protocol_violation"
        self.judge.respawns += gone
        if case["outcome"] == "timeout" or self.judge.respawns > MAX_RESPAWNS:
            self.dead = case
        if gone:
            self.close()
        return _error(case)

    def close(self) -> None:
        """End the child, if there is one."""
        if self.running is not None:
            running, self.running = self.running, None
            self.judge.end(running)
