"""The oracle: runs trusted test code in a process of its own, with stubs for the program.

A call of a stub goes to the worker, which puts it to the program's child; what comes back is
plain data. Expected values and the code of the tests are only ever here. Confined and limited
all the same, since a test may compute with whatever a program returned.
"""

import ast
import contextlib
import functools
import json
import marshal
import random
from collections.abc import Callable, Iterator, Sequence
from types import CodeType
from typing import Any

from ..wire import codec, frames
from ..wire.messages import WITH_ARGUMENTS, OracleMessage, Reply, request
from ..wire.records import CodeTests, Ending, ErrorReport, Outcome, free_names
from ..wire.stand_ins import StandIns
from .arguments import numpy_array, write_back
from .exceptions import raised

MAX_TESTS = 20_000
_RECORD, _FAIL, _ENDED = "__test_record__", "__test_fail__", "__test_ended__"


class _Failed(BaseException):
    """A call that gave no value and raised nothing: the program died, or returned what cannot
    cross. No test that expects an exception may take it for one. Carries the ending to record."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.outcome)
        self.ending = ending


class _Stop(BaseException):
    """Too many asserts, or a call that was not foreseen."""


def _as_exception(reply: bytes) -> BaseException:
    """What the stub raises, marked with the ending it stands for: an exception that a test may
    want to catch where a call of the program raised one, else :class:`_Failed`."""
    end = 5 + int.from_bytes(reply[1:5], "big")
    ending, described = Ending.from_list(json.loads(reply[5:end])), reply[end:]
    fault = ending.error and raised(ending.error, described) if described else None
    if fault is None:
        return _Failed(ending)
    fault.ending = ending  # type: ignore[attr-defined]
    return fault


def _guarded(body: list[ast.stmt], *, ended: bool = False) -> ast.Try:
    """``body``, whose exception is a failed test; ``ended``: and which passed if there is none."""
    fault = ast.Name("__test_fault__", ast.Load())
    failed = _called(_FAIL, fault, ast.Constant(ended))
    handler = ast.ExceptHandler(ast.Name("BaseException", ast.Load()), "__test_fault__", [failed])
    return ast.Try(body, [handler], [], [_called(_ENDED)] if ended else [])


def _called(name: str, *arguments: ast.expr) -> ast.stmt:
    return ast.Expr(ast.Call(ast.Name(name, ast.Load()), list(arguments), []))


class _Rewriter(ast.NodeTransformer):
    def __init__(self) -> None:
        self.count = 0

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        self.count += 1
        return _guarded([_called(_RECORD, node.test)])

    def visit_Try(self, node: ast.Try) -> ast.stmt:
        # One test as a whole where it has handlers: they may be what is being tested.
        if not node.handlers:
            self.generic_visit(node)
            return node
        self.count += 1
        return _guarded([node], ended=True)


def _instrumented(source: str) -> ast.Module:
    """Test code whose asserts are each recorded, as often as they run, and the next one still runs.

    Code without any assert is one test: that it does not raise.
    """
    tree = ast.parse(source)
    rewriter = _Rewriter()
    rewriter.visit(tree)
    if rewriter.count == 0:
        tree.body = [_guarded(tree.body, ended=True)]
    return ast.fix_missing_locations(tree)


@functools.lru_cache(maxsize=512)
def _compiled(tests: CodeTests) -> tuple[frozenset[str], CodeType, tuple[CodeType, ...]]:
    """Names to stub, and the code of a suite: the programs of a group share it."""
    sources = (tests.check,) if tests.check else tests.asserts
    stubs = free_names("\n".join([tests.setup, *sources])) | ({tests.entry_point} - {""})
    codes = tuple(compile(_instrumented(source), "<test>", "exec") for source in sources)
    return frozenset(stubs), compile(tests.setup, "<setup>", "exec"), codes


class TestObjects(StandIns):
    """Makes what tests see of objects of the program. ``arrays``: of numpy as they are, since the
    tests know it; ``unread``: what a test gets that reads on where an iterator was cut."""

    __test__ = False

    def __init__(self, arrays: bool, unread: Callable[[], BaseException]) -> None:
        self._arrays, self._unread = arrays, unread

    def array(self, dtype: str, shape: tuple[int, ...], *flat: Any) -> Any:
        """As the tests would see it without us."""
        lists = super().array(dtype, shape, *flat)  # checks the shape
        return numpy_array(dtype, shape, flat) if self._arrays else lists

    def unread(self) -> BaseException:
        """The ending of the test."""
        return self._unread()


class Oracle:
    """One connection to the worker, serving suites until it closes."""

    def __init__(self, channel: int) -> None:
        self._channel, self._inbox = channel, frames.Inbox(channel)
        self._count = 0
        self._foreseen: Iterator[tuple[bytes, bytes]] | None = None
        self._otherwise = False
        self._endings: list[Ending] = []
        # How the program died, while no test has recorded it: a test may catch everything.
        self._death: Ending | None = None
        self._build: StandIns = TestObjects(False, self._unread)
        self._called = False  # whether a test has called the program
        self._failed = False  # whether the test that ends now has failed

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
        self._count, self._otherwise, self._endings = 0, False, []
        self._death, self._called, self._failed = None, False, False
        code = (tests.setup, tests.check, *tests.asserts)
        self._build = TestObjects(any("numpy" in text for text in code), self._unread)
        self._foreseen = iter(foreseen) if foreseen else None
        random.seed(0)
        space: dict[str, Any] = {
            "__name__": "tests", _RECORD: self._record, _FAIL: self._fail, _ENDED: self._ended,
        }  # fmt: skip
        try:
            stubs, setup, codes = _compiled(tests)
            for name in stubs:
                space[name] = self._stub(name)
            exec(setup, space)  # noqa: S102
        except BaseException as fault:  # noqa: BLE001
            if not self._called:  # a suite that cannot run is our fault
                self._send(OracleMessage.BROKEN, f"{type(fault).__name__}: {fault}"[:300].encode())
                return
            with contextlib.suppress(_Stop):  # what the program did to its set-up fails all tests
                for _ in codes:
                    self._fail(fault)
        else:
            self._run(codes, space, tests)
        if self._foreseen is None:
            self._send(OracleMessage.END)
        elif self._otherwise:
            self._send(OracleMessage.OTHERWISE)
        else:
            self._send(OracleMessage.ENDINGS, json.dumps(self._endings).encode())

    def _run(self, codes: Sequence[CodeType], space: dict[str, Any], tests: CodeTests) -> None:
        try:
            for code in codes:
                exec(code, space)  # noqa: S102
            if tests.check:
                space["check"](self._stub(tests.entry_point))
            if self._death:
                self._add(self._death)
        except _Stop:
            return
        except BaseException as fault:  # noqa: BLE001  recorded as the failing test it is
            self._fail(fault)

    def _send(self, kind: bytes, body: bytes = b"") -> None:
        frames.write(self._channel, kind + body)

    def _stub(self, name: str) -> Callable[..., Any]:
        """A function that runs ``name`` of the program in its own process."""

        def call(*args: Any, **named: Any) -> Any:
            self._called = True
            try:
                *encoded, objects = codec.encode_call(args, named, iterators=True)
            except codec.Unserialisable as fault:
                note = f"an argument of the test is not plain data: {fault}"
                error = ErrorReport("TestArgument", message=note)
                raise self._noted(_Failed(Ending(Outcome.SANDBOX_ERROR, error))) from None
            return self._value(self._reply(request(name, *encoded, want=WITH_ARGUMENTS)), objects)

        call.__name__ = call.__qualname__ = name
        return call

    def _reply(self, call: bytes) -> bytes:
        if self._foreseen is None:
            self._send(OracleMessage.CALL, call)
            return self._inbox.read()
        foreseen_call, reply = next(self._foreseen, (b"", b""))
        if foreseen_call != call:
            # For good: a test that catches everything may go on to calls that do agree.
            self._otherwise = True
        if self._otherwise:
            raise _Stop
        return reply

    def _value(self, reply: bytes, objects: list[Any]) -> Any:
        if reply[:1] != Reply.VALUE:
            raise self._noted(_as_exception(reply))
        # Four bytes of length, the value, and the arguments where the call changed them.
        end = 5 + int.from_bytes(reply[1:5], "big")
        try:
            value = codec.decode(reply[5:end], build=self._build, objects=objects)
            if reply[end:]:
                write_back(objects, reply[end:], self._build)
        except Exception as fault:  # noqa: BLE001  the reply is the program's: it may say anything
            error = ErrorReport("Malformed", message=str(fault)[:200])
            raise self._noted(_Failed(Ending(Outcome.PROTOCOL_VIOLATION, error))) from None
        return value

    def _unread(self) -> BaseException:
        error = ErrorReport("Iterator", message="it goes on after what crosses of it")
        return self._noted(_Failed(Ending(Outcome.OUTPUT_LIMIT, error)))

    def _noted(self, fault: BaseException) -> BaseException:
        if isinstance(fault, _Failed):
            self._death = fault.ending
        return fault

    def _record(self, passed: Any) -> None:
        """One assert was evaluated."""
        self._add(self._death or Ending(Outcome.PASS if passed else Outcome.WRONG_ANSWER))

    def _ended(self) -> None:
        """A test that is more than an assert has ended, by ``return`` maybe."""
        if not self._failed:
            self._record(True)
        self._failed = False

    def _fail(self, fault: BaseException, ends: bool = False) -> None:
        """One test could not be evaluated; ``ends``: its :meth:`_ended` follows."""
        self._failed = ends
        if isinstance(fault, _Stop | frames.Closed):
            raise fault
        ending = getattr(fault, "ending", None)
        if ending is None:
            # The comparison itself failed on what the program returned.
            error = ErrorReport(type(fault).__name__, message=f"in the test: {fault}"[:300])
            ending = Ending(Outcome.WRONG_ANSWER, error)
        self._add(ending)

    def _add(self, ending: Ending) -> None:
        self._death = None
        self._count += 1
        # So many passes are no longer kept; the tests run on, as one of them may still fail.
        if self._count > MAX_TESTS and ending.outcome is Outcome.PASS:
            return
        if self._foreseen is None:
            self._send(OracleMessage.ENDINGS, json.dumps([ending]).encode())
        else:
            self._endings.append(ending)
        if self._count > MAX_TESTS:
            raise _Stop


def serve(channel: int) -> None:
    """Judge suites until the worker closes the channel."""
    oracle = Oracle(channel)
    with contextlib.suppress(frames.Closed):
        while True:
            oracle.judge_next()
