"""The oracle: runs trusted test code in a process of its own, with stubs for the program.

A call of a stub goes to the worker, which puts it to the program's child; what comes back is
plain data. Expected values and the code of the tests are only ever here. Confined and limited
all the same, since a test may compute with whatever a program returned.
"""

import contextlib
import json
import marshal
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from ..wire import codec, frames
from ..wire.messages import (
    OPERATION,
    TAMPERED,
    WITH_ARGUMENTS,
    WITH_GENERATORS,
    OracleMessage,
    Reply,
    request,
)
from ..wire.records import CodeTests, Ending, ErrorReport, Outcome
from . import seeds
from .arguments import write_back
from .rewriting import ENDED, FAIL, RECORD, VALUE, Text, compiled, is_class_name
from .tests_side import TESTS, Name, TestsSide


class _Failed(BaseException):
    """A call that gave no value and raised nothing: the program died, or returned what cannot
    cross. No test that expects an exception may take it for one. Carries the ending to record."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.outcome)
        self.ending = ending


# Those that end the process of the program, and its objects with it.
_DEATHS = (Outcome.PREMATURE_EXIT, Outcome.SIGNAL, Outcome.MEMORY, Outcome.TIMEOUT,
           Outcome.PROTOCOL_VIOLATION)  # fmt: skip


class _Stop(BaseException):
    """A call that was not foreseen."""


class Oracle:
    """One connection to the worker, serving suites until it closes."""

    def __init__(self, channel: int) -> None:
        self._channel, self._inbox = channel, frames.Inbox(channel)
        self._one_call = threading.RLock()  # tests may have threads
        self._foreseen: Iterator[tuple[bytes, bytes]] | None = None
        self._otherwise = False
        self._endings: dict[int, Ending] = {}  # the worst of each test
        # How the program died, while no test has recorded it: a test may catch everything.
        self._death: Ending | None = None
        self._side = self._new_side(numpy=False)
        self._space: dict[str, Any] = {}
        self._want, self._room = WITH_ARGUMENTS, 1
        self._called = False  # whether a test has called the program
        self._asked = False  # the same, since an ending was last sent
        self._recorded = False  # whether the text that runs has recorded a test
        self._failed = False  # whether the test that ends now has failed
        self._idle = False  # whether an assert held that tests nothing
        self._free = False  # whether a test passed before any call of the program

    def judge_next(self) -> None:
        """Judge the next suite. Raises Closed at the end of the stream."""
        tests, foreseen = self._inbox.read(), self._inbox.read()
        entry_point, asserts, *rest = json.loads(tests)
        pairs = marshal.loads(foreseen) if foreseen else ()  # noqa: S302  the worker's
        self._judge(CodeTests(entry_point, tuple(asserts), *rest), pairs)

    def _judge(self, tests: CodeTests, foreseen: Sequence[tuple[bytes, bytes]]) -> None:
        """Run all tests of one suite in a fresh namespace, then send END.

        With calls and replies foreseen: send all endings at once, or OTHERWISE where the tests
        made other calls.
        """
        self._otherwise, self._endings, self._death = False, {}, None
        self._called = self._asked = self._failed = self._idle = self._free = False
        self._foreseen = iter(foreseen) if foreseen else None
        try:
            code = compiled(tests)
        except BaseException as fault:  # noqa: BLE001
            self._broken(fault)
            return
        self._want = WITH_GENERATORS if code.driven else WITH_ARGUMENTS
        self._side, self._room = self._new_side(numpy=code.numpy), code.room
        seeds.fix(numpy=code.numpy)
        space: dict[str, Any] = {
            "__name__": TESTS, "__file__": "tests.py", VALUE: self._value_of,
            RECORD: self._record, FAIL: self._fail, ENDED: self._ended,
        }  # fmt: skip
        self._space = space
        try:
            for name in code.stubs:
                space[name] = self._stub(name)
            exec(code.setup, space)  # noqa: S102
        except BaseException as fault:  # noqa: BLE001
            if not self._called:  # a suite that cannot run is our fault
                self._broken(fault)
                return
            with contextlib.suppress(_Stop):  # what the program did to its set-up fails all tests
                for text in code.texts:
                    self._fail(text.site, fault)
        else:
            self._run(code.texts, space, tests)
        if self._foreseen is None:
            self._send(OracleMessage.END)
        elif self._otherwise:
            self._send(OracleMessage.OTHERWISE)
        else:
            self._send(OracleMessage.ENDINGS, json.dumps([*self._endings.items()]).encode())

    def _run(self, texts: Sequence[Text], space: dict[str, Any], tests: CodeTests) -> None:
        for text in texts:
            self._recorded = False
            try:
                try:
                    exec(text.code, space)  # noqa: S102
                except SystemExit as fault:  # its own: one of the program is no exception here
                    if fault.code not in (None, 0):
                        raise
                if tests.check:
                    space["check"](self._stub(tests.entry_point))
                if self._death or (text.whole and not self._recorded):
                    self._record(text.site, True)
            except _Stop:
                return
            except BaseException as fault:  # noqa: BLE001  recorded as the failing test it is
                try:
                    self._fail(text.site, fault)
                except _Stop:
                    return
        if not self._endings and (self._free or (self._idle and self._called)):
            # All there is to test: the program loads, and the calls raise nothing.
            self._add(texts[-1].site, Ending(Outcome.PASS))

    def _broken(self, fault: BaseException) -> None:
        self._send(OracleMessage.BROKEN, f"{type(fault).__name__}: {fault}"[:300].encode())

    def _send(self, kind: bytes, body: bytes = b"") -> None:
        frames.write(self._channel, kind + body)

    def _new_side(self, *, numpy: bool) -> TestsSide:
        return TestsSide(self._operation, self._failing, arrays=numpy)

    def _stub(self, name: str) -> Name:
        """A function that runs ``name`` of the program in its own process."""

        def call(*args: Any, **named: Any) -> Any:
            value = self._asked_of_program(name, args, named)
            return self._side.made_by_test(value) if is_class_name(name) else value

        return Name(name, call, self._value_of)

    def _value_of(self, name: str) -> Any:
        """What the program has by a name that the tests use otherwise than by calling it, unless
        the tests have it after all, by an import of everything."""
        own = self._space.get(name)
        if name in self._space and not isinstance(own, Name):
            return own
        value = self._operation("global", name)
        return self._side.made_by_test(value) if is_class_name(name) else value

    def _operation(self, operation: str, *arguments: Any, **named: Any) -> Any:
        """Something done with an object of the program, in its own process."""
        return self._asked_of_program(OPERATION + operation, arguments, named)

    def _asked_of_program(self, name: str, args: Sequence[Any], named: dict[str, Any]) -> Any:
        self._called = self._asked = True
        side = self._side
        side.flush()
        try:
            *encoded, objects = codec.encode_call(args, named, iterators=True, live=side.text)
        except codec.Unserialisable as fault:
            note = f"an argument of the test is not plain data: {fault}"
            raise self._failing(Outcome.SANDBOX_ERROR, note, "TestArgument") from None
        call = request(name, *encoded, want=self._want, seen=side.seen, room=self._room)
        return self._value(self._reply(call), objects)

    def _reply(self, call: bytes) -> bytes:
        if self._foreseen is None:
            with self._one_call:
                self._send(OracleMessage.CALL, call)
                while (reply := self._inbox.read())[:1] == Reply.CALLBACK:
                    self._send(OracleMessage.RESUME, self._side.answer(reply[1:]))
                return reply
        foreseen_call, reply = next(self._foreseen, (b"", b""))
        if foreseen_call != call:
            # For good: a test that catches everything may go on to calls that do agree.
            self._otherwise = True
        if self._otherwise:
            raise _Stop
        return reply

    def _value(self, reply: bytes, objects: list[Any]) -> Any:
        if reply[:1] != Reply.VALUE:
            raise self._noted(self._as_exception(reply))
        # Four bytes of length, the value, and the arguments where the call changed them.
        end = 5 + int.from_bytes(reply[1:5], "big")
        try:
            value = codec.decode(reply[5:end], build=self._side, objects=objects, room=self._room)
            if reply[end:]:
                write_back(objects, reply[end:], self._side)
        except Exception as fault:  # noqa: BLE001  the reply is the program's: it may say anything
            said = str(fault)[:200]
            raise self._failing(Outcome.PROTOCOL_VIOLATION, said, "Malformed") from None
        return value

    def _as_exception(self, reply: bytes) -> BaseException:
        """What a call raises, marked with the ending it stands for: an exception that a test may
        want to catch where the call of the program raised one, else :class:`_Failed`."""
        end = 5 + int.from_bytes(reply[1:5], "big")
        ending, described = Ending.from_list(json.loads(reply[5:end])), reply[end:]
        if not (ending.error and described):
            return _Failed(ending)
        fault = self._side.raised(ending.error, described)
        if fault is None:
            return _Failed(ending)
        fault.ending = ending  # type: ignore[attr-defined]
        return fault

    def _failing(self, outcome: Outcome, note: str, kind: str = "Result") -> BaseException:
        """What ends a test: no ``except`` of the test's is meant for it."""
        ending = _result(outcome, note, kind)
        if outcome is Outcome.PROTOCOL_VIOLATION:
            # Said at once: the next reply may be made to end us.
            if self._foreseen is not None:
                self._otherwise = True
                return _Stop()
            self._send(OracleMessage.ENDINGS, json.dumps([(TAMPERED, ending)]).encode())
        return self._noted(_Failed(ending))

    def _noted(self, fault: BaseException) -> BaseException:
        if isinstance(fault, _Failed):
            self._death = fault.ending
            if fault.ending.outcome in _DEATHS:
                self._side.lose_all(fault)
        return fault

    def _record(self, site: int, passed: Any, idle: bool = False) -> None:
        """One assert was evaluated. An ``idle`` one tests nothing: every program would pass it, as
        it would what holds before the program was called at all."""
        if passed and (idle or not self._called):
            self._idle |= idle
            self._free |= not idle
            return
        ending = Ending(Outcome.PASS if passed else Outcome.WRONG_ANSWER)
        if not passed and self._side.strange:
            ending = _result(Outcome.UNSERIALISABLE, self._side.strange)
        self._add(site, self._death or ending)

    def _ended(self, site: int) -> None:
        """A test that is more than an assert has ended, by ``return`` maybe."""
        if not self._failed:
            self._record(site, True)
        self._failed = False

    def _fail(self, site: int, fault: BaseException, ends: bool = False) -> None:
        """One test could not be evaluated; ``ends``: its :meth:`_ended` follows."""
        self._failed = ends
        if isinstance(fault, _Stop | frames.Closed):
            raise fault
        ending = getattr(fault, "ending", None)
        if ending is None:
            # The comparison itself failed on what the program returned.
            said = " ".join(f"in the test: {fault}".split())  # numpy's messages have many lines
            error = ErrorReport(type(fault).__name__, message=said[:300])
            ending = Ending(Outcome.WRONG_ANSWER, error)
        self._add(site, ending)

    def _add(self, site: int, ending: Ending) -> None:
        """Keep the worst ending of a test: all its turns in a loop are needed for it to pass."""
        self._death, self._recorded, self._side.strange = None, True, ""
        worst = ending.worse(self._endings.get(site))
        new, self._endings[site] = worst is not self._endings.get(site), worst
        # Also where it is no worse, for the lines that ran since the last one.
        if self._foreseen is None and (new or self._asked):
            self._send(OracleMessage.ENDINGS, json.dumps([(site, worst)]).encode())
            self._asked = False


def _result(outcome: Outcome, note: str, kind: str = "Result") -> Ending:
    """An ending by what the program returned."""
    return Ending(outcome, ErrorReport(kind, message=note))


def serve(channel: int) -> None:
    """Judge suites until the worker closes the channel."""
    oracle = Oracle(channel)
    with contextlib.suppress(frames.Closed):
        while True:
            oracle.judge_next()
