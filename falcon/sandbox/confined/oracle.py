"""The oracle: runs trusted test code in a process of its own, with stubs for the program.

A call of a stub goes to the worker, which puts it to the program's child; what comes back is
plain data. Expected values and the code of the tests are only ever here. Confined and limited
all the same, since a test may compute with whatever a program returned.
"""

import ast
import builtins
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

MAX_TESTS = 20_000
_RECORD, _FAIL = "__test_record__", "__test_fail__"


class _Failed(Exception):
    """A call of the program that gave no value; carries the ending to record."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.outcome)
        self.ending = ending


class _Stop(BaseException):
    """Too many asserts, or a call that was not foreseen."""


def _as_exception(ending: Ending) -> BaseException:
    """The exception that a test may want to catch, marked with the ending it stands for."""
    error = ending.error or ErrorReport("")
    kind = getattr(builtins, error.type, None)
    if (
        ending.outcome is not Outcome.RUNTIME_ERROR
        or not isinstance(kind, type)
        or not issubclass(kind, Exception)
    ):
        return _Failed(ending)
    try:
        fault = kind(error.message)
    except TypeError:  # UnicodeDecodeError wants more arguments
        return _Failed(ending)
    fault.ending = ending  # type: ignore[attr-defined]
    return fault


def _write_back(old: Any, new: Any) -> None:
    """Give a mutable argument the content it has after the call."""
    if type(old) is not type(new) or old == new:
        return
    if isinstance(old, list | bytearray):
        old[:] = new
    elif isinstance(old, dict | set):
        old.clear()
        old.update(new)


def _guarded(body: list[ast.stmt]) -> ast.Try:
    caught = ast.Name("__test_fault__", ast.Load())
    failed = ast.Expr(ast.Call(ast.Name(_FAIL, ast.Load()), [caught], []))
    handler = ast.ExceptHandler(ast.Name("BaseException", ast.Load()), "__test_fault__", [failed])
    return ast.Try(body, [handler], [], [])


def _recorded(value: ast.expr) -> ast.stmt:
    return ast.Expr(ast.Call(ast.Name(_RECORD, ast.Load()), [value], []))


class _Rewriter(ast.NodeTransformer):
    def __init__(self) -> None:
        self.count = 0

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        self.count += 1
        return _guarded([_recorded(node.test)])

    def visit_Try(self, node: ast.Try) -> ast.stmt:
        # One test as a whole where it has handlers: they may be what is being tested.
        if not node.handlers:
            self.generic_visit(node)
            return node
        self.count += 1
        return _guarded([node, _recorded(ast.Constant(True))])


def _instrumented(source: str) -> ast.Module:
    """Test code whose asserts are each recorded, as often as they run, and the next one still runs.

    Code without any assert is one test: that it does not raise.
    """
    tree = ast.parse(source)
    rewriter = _Rewriter()
    rewriter.visit(tree)
    if rewriter.count == 0:
        tree.body = [_guarded([*tree.body, _recorded(ast.Constant(True))])]
    return ast.fix_missing_locations(tree)


@functools.lru_cache(maxsize=512)
def _compiled(tests: CodeTests) -> tuple[frozenset[str], CodeType, tuple[CodeType, ...]]:
    """Names to stub, and the code of a suite: the programs of a group share it."""
    sources = (tests.check,) if tests.check else tests.asserts
    stubs = free_names("\n".join([tests.setup, *sources])) | ({tests.entry_point} - {""})
    codes = tuple(compile(_instrumented(source), "<test>", "exec") for source in sources)
    return frozenset(stubs), compile(tests.setup, "<setup>", "exec"), codes


class Oracle:
    """One connection to the worker, serving suites until it closes."""

    def __init__(self, channel: int) -> None:
        self._channel, self._inbox = channel, frames.Inbox(channel)
        self._count = 0
        self._foreseen: Iterator[tuple[bytes, bytes]] | None = None
        self._otherwise = False
        self._endings: list[Ending] = []

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
        self._foreseen = iter(foreseen) if foreseen else None
        random.seed(0)
        space: dict[str, Any] = {"__name__": "tests", _RECORD: self._record, _FAIL: self._fail}
        try:
            stubs, setup, codes = _compiled(tests)
            for name in stubs:
                space[name] = self._stub(name)
            exec(setup, space)  # noqa: S102
        except Exception as fault:  # noqa: BLE001  a suite that cannot run is our fault
            self._send(OracleMessage.BROKEN, f"{type(fault).__name__}: {fault}"[:300].encode())
            return
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
        except _Stop:
            return
        except BaseException as fault:  # noqa: BLE001  recorded as the failing test it is
            self._fail(fault)

    def _send(self, kind: bytes, body: bytes = b"") -> None:
        frames.write(self._channel, kind + body)

    def _stub(self, name: str) -> Callable[..., Any]:
        """A function that runs ``name`` of the program in its own process."""

        def call(*args: Any, **named: Any) -> Any:
            try:
                encoded = codec.encode(list(args)), codec.encode(named)
            except (codec.Unserialisable, codec.TooLarge) as fault:
                note = f"an argument of the test is not plain data: {fault}"
                error = ErrorReport("TestArgument", message=note)
                raise _Failed(Ending(Outcome.SANDBOX_ERROR, error)) from None
            return self._value(self._reply(request(name, *encoded, want=WITH_ARGUMENTS)), args)

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

    def _value(self, reply: bytes, args: tuple[Any, ...]) -> Any:
        if reply[:1] != Reply.VALUE:
            raise _as_exception(Ending.from_list(json.loads(reply[1:])))
        # Four bytes of length, the value, and the arguments where the call changed them.
        end = 5 + int.from_bytes(reply[1:5], "big")
        try:
            value = codec.decode(reply[5:end])
            changed = reply[end:]
            if changed:
                for old, new in zip(args, codec.decode(changed), strict=True):
                    _write_back(old, new)
        except (codec.Malformed, ValueError, TypeError) as fault:
            error = ErrorReport("Malformed", message=str(fault)[:200])
            raise _Failed(Ending(Outcome.PROTOCOL_VIOLATION, error)) from None
        return value

    def _record(self, passed: Any) -> None:
        """One assert was evaluated."""
        self._add(Ending(Outcome.PASS if passed else Outcome.WRONG_ANSWER))

    def _fail(self, fault: BaseException) -> None:
        """One assert could not be evaluated."""
        if isinstance(fault, _Stop | frames.Closed):
            raise fault
        ending = getattr(fault, "ending", None)
        if ending is None:
            # The comparison itself failed on what the program returned.
            error = ErrorReport(type(fault).__name__, message=f"in the test: {fault}"[:300])
            ending = Ending(Outcome.WRONG_ANSWER, error)
        self._add(ending)

    def _add(self, ending: Ending) -> None:
        self._count += 1
        if self._count > MAX_TESTS:
            raise _Stop
        if self._foreseen is None:
            self._send(OracleMessage.ENDINGS, json.dumps([ending]).encode())
        else:
            self._endings.append(ending)


def serve(channel: int) -> None:
    """Judge suites until the worker closes the channel."""
    oracle = Oracle(channel)
    with contextlib.suppress(frames.Closed):
        while True:
            oracle.judge_next()
