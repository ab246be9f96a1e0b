"""The oracle: runs trusted test code in a process of its own, with stubs for the program.

A call of a stub goes to the worker, which puts it to the program's child; what comes back is
plain data. Expected values and the code of the tests are only ever here. Confined and limited
all the same, since a test may compute with whatever a program returned.
"""

import ast
import contextlib
import functools
import importlib
import json
import marshal
import random
import re
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from types import CodeType
from typing import Any, NamedTuple

from ..wire import codec, frames
from ..wire.messages import WITH_ARGUMENTS, OracleMessage, Reply, request
from ..wire.records import (
    CodeTests,
    Ending,
    ErrorReport,
    Outcome,
    bound_names,
    free_names,
    tests_nothing,
)
from ..wire.stand_ins import StandIns
from .arguments import numpy_array, write_back
from .exceptions import raised

_RECORD, _FAIL, _ENDED = "__test_record__", "__test_fail__", "__test_ended__"


class _Failed(BaseException):
    """A call that gave no value and raised nothing: the program died, or returned what cannot
    cross. No test that expects an exception may take it for one. Carries the ending to record."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.outcome)
        self.ending = ending


class _Stop(BaseException):
    """A call that was not foreseen."""


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


def _guarded(site: int, body: list[ast.stmt], *, ended: bool = False) -> ast.Try:
    """``body``, whose exception is a failed test; ``ended``: and which passed if there is none."""
    fault = ast.Name("__test_fault__", ast.Load())
    failed = _called(_FAIL, site, fault, ast.Constant(ended))
    handler = ast.ExceptHandler(ast.Name("BaseException", ast.Load()), "__test_fault__", [failed])
    return ast.Try(body, [handler], [], [_called(_ENDED, site)] if ended else [])


def _called(name: str, site: int, *arguments: ast.expr) -> ast.stmt:
    return ast.Expr(ast.Call(ast.Name(name, ast.Load()), [ast.Constant(site), *arguments], []))


class _Rewriter(ast.NodeTransformer):
    """Has each test of a text recorded, and the next one run. ``sites``: how many so far; a
    test's number is its site, however often it runs. ``taken``: names that are not the builtins of
    that name; ``functions``: those of the texts so far, whose tests are recorded within."""

    def __init__(
        self, tree: ast.Module, taken: Collection[str], sites: int, functions: set[str]
    ) -> None:
        self.sites, self._functions = sites, functions
        # Not those below an `if`: they say by being reached what the program did.
        self._idle = {
            id(each)
            for block in ast.walk(tree)
            if isinstance(block, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef)
            for each in block.body
            if isinstance(each, ast.Assert) and tests_nothing(each, taken)
        }

    def _site(self) -> int:
        self.sites += 1
        return self.sites - 1

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        site = self._site()
        idle = ast.Constant(id(node) in self._idle)
        return _guarded(site, [_called(_RECORD, site, node.test, idle)])

    def visit_Try(self, node: ast.Try | ast.TryStar) -> ast.stmt:
        # One test as a whole where it has handlers: they may be what is being tested.
        if not node.handlers:
            self.generic_visit(node)
            return node
        return _guarded(self._site(), [node], ended=True)

    def visit_With(self, node: ast.With | ast.AsyncWith) -> ast.stmt:
        # So is a `with` that may catch something, as raises(...): asserts in it may be meant to
        # fail.
        if not all(map(_CATCHES_NOTHING.fullmatch, map(_name_of, node.items))):
            return _guarded(self._site(), [node], ended=True)
        self.generic_visit(node)
        return node

    visit_TryStar = visit_Try
    visit_AsyncWith = visit_With

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        name = _name_of(node.value)
        if name.startswith("assert"):  # unittest's and numpy's
            return _guarded(self._site(), [node], ended=True)
        if name.startswith("test"):
            # What it raises does not end those after it. One that is not recorded within is one.
            return _guarded(self._site(), [node], ended=name not in self._functions)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.stmt:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.stmt:
        before = self.sites
        self._functions.add(node.name)
        self.generic_visit(node)
        if node.name.startswith("test") and self.sites == before:
            node.body = [_guarded(self._site(), node.body, ended=True)]
        return node


_CATCHES_NOTHING = re.compile(
    "subTest|open|nullcontext|closing|redirect_std.*|catch_warnings|errstate|localcontext|patch"
    "|Temporary.*|.*Executor|timeout"
)


def _name_of(node: ast.AST) -> str:
    """Name of the function that is called, of an expression or of an item of ``with``."""
    match node:
        case ast.withitem(ast.Call(ast.Attribute(_, name))) | ast.Call(ast.Attribute(_, name)):
            return name
        case ast.withitem(ast.Call(ast.Name(name))) | ast.Call(ast.Name(name)):
            return name
    return ""


class _Text(NamedTuple):
    """One text of the tests. ``whole``: it has no tests in it, so it is one; ``site``: of what
    goes wrong between them."""

    code: CodeType
    site: int
    whole: bool


@functools.lru_cache(maxsize=512)
def _compiled(tests: CodeTests) -> tuple[frozenset[str], CodeType, tuple[_Text, ...]]:
    """Names to stub, and the code of a suite: the programs of a group share it."""
    sources = (tests.check,) if tests.check else tests.asserts
    everything = "\n".join([tests.setup, *sources])
    stubs = free_names(everything) | ({tests.entry_point} - {""})
    texts, sites, taken, functions = [], 0, bound_names(everything) | stubs, set[str]()
    for source in sources:
        tree = ast.parse(source)
        rewriter = _Rewriter(tree, taken, sites, functions)
        tree = ast.fix_missing_locations(rewriter.visit(tree))
        whole, sites = rewriter.sites == sites, rewriter.sites + 1
        texts.append(_Text(compile(tree, "<test>", "exec"), sites - 1, whole))
    return frozenset(stubs), compile(tests.setup, "<setup>", "exec"), tuple(texts)


def _seed(*, numpy: bool) -> None:
    """Random inputs are the same for each program: verdicts are compared and kept."""
    random.seed(0)
    if numpy:
        with contextlib.suppress(ImportError):
            importlib.import_module("numpy.random").seed(0)


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
        self._one_call = threading.Lock()  # tests may have threads
        self._foreseen: Iterator[tuple[bytes, bytes]] | None = None
        self._otherwise = False
        self._endings: dict[int, Ending] = {}  # the worst of each test
        # How the program died, while no test has recorded it: a test may catch everything.
        self._death: Ending | None = None
        self._build: StandIns = TestObjects(False, self._unread)
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
        numpy = any("numpy" in text for text in (tests.setup, tests.check, *tests.asserts))
        self._build = TestObjects(numpy, self._unread)
        self._foreseen = iter(foreseen) if foreseen else None
        _seed(numpy=numpy)
        space: dict[str, Any] = {
            "__name__": "tests", "__file__": "tests.py",
            _RECORD: self._record, _FAIL: self._fail, _ENDED: self._ended,
        }  # fmt: skip
        try:
            stubs, setup, texts = _compiled(tests)
            for name in stubs:
                space[name] = self._stub(name)
            exec(setup, space)  # noqa: S102
        except BaseException as fault:  # noqa: BLE001
            if not self._called:  # a suite that cannot run is our fault
                self._send(OracleMessage.BROKEN, f"{type(fault).__name__}: {fault}"[:300].encode())
                return
            with contextlib.suppress(_Stop):  # what the program did to its set-up fails all tests
                for text in texts:
                    self._fail(text.site, fault)
        else:
            self._run(texts, space, tests)
        if self._foreseen is None:
            self._send(OracleMessage.END)
        elif self._otherwise:
            self._send(OracleMessage.OTHERWISE)
        else:
            self._send(OracleMessage.ENDINGS, json.dumps([*self._endings.items()]).encode())

    def _run(self, texts: Sequence[_Text], space: dict[str, Any], tests: CodeTests) -> None:
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

    def _send(self, kind: bytes, body: bytes = b"") -> None:
        frames.write(self._channel, kind + body)

    def _stub(self, name: str) -> Callable[..., Any]:
        """A function that runs ``name`` of the program in its own process."""

        def call(*args: Any, **named: Any) -> Any:
            self._called = self._asked = True
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
            with self._one_call:
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

    def _record(self, site: int, passed: Any, idle: bool = False) -> None:
        """One assert was evaluated. An ``idle`` one tests nothing: every program would pass it, as
        it would what holds before the program was called at all."""
        if passed and (idle or not self._called):
            self._idle |= idle
            self._free |= not idle
            return
        self._add(site, self._death or Ending(Outcome.PASS if passed else Outcome.WRONG_ANSWER))

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
        self._death, self._recorded = None, True
        worst = ending.worse(self._endings.get(site))
        new, self._endings[site] = worst is not self._endings.get(site), worst
        # Also where it is no worse, for the lines that ran since the last one.
        if self._foreseen is None and (new or self._asked):
            self._send(OracleMessage.ENDINGS, json.dumps([(site, worst)]).encode())
            self._asked = False


def serve(channel: int) -> None:
    """Judge suites until the worker closes the channel."""
    oracle = Oracle(channel)
    with contextlib.suppress(frames.Closed):
        while True:
            oracle.judge_next()
