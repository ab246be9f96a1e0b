"""The oracle: runs trusted test code in a process of its own, with stubs for the program.

A stub's call goes to the worker, which asks the program's child; what comes back is plain
data. Expected values and the code of the tests are only ever here. Confined and limited
all the same, since a test may compute with whatever a program returned.
"""

from __future__ import annotations

import builtins
import functools
import json
import marshal
import random
from collections.abc import Callable, Iterator, Sequence
from types import CodeType
from typing import Any

from . import child, codec, frames
from .instrument import FAIL, RECORD, free_names, instrument

CALL, CASES, END, BROKEN, OTHERWISE = b"C", b"T", b"E", b"B", b"O"
MAX_CASES = 20_000
_BUSY = 100


class _Failed(Exception):
    """A call of the program that gave no value; carries the case to record."""

    def __init__(self, case: dict[str, Any]) -> None:
        super().__init__(case.get("outcome"))
        self.case = case


class _Stop(BaseException):
    """More cases than we count, or a call that was not foreseen."""


def _as_exception(case: dict[str, Any]) -> BaseException:
    """The exception a test may want to catch, marked with the case it stands for."""
    error = case.get("error") or {}
    kind = getattr(builtins, str(error.get("type", "")), None)
    if (
        case["outcome"] == "runtime_error"
        and isinstance(kind, type)
        and issubclass(kind, Exception)
    ):
        try:
            fault = kind(error.get("message", ""))
        except TypeError:
            return _Failed(case)
        fault.case = case  # type: ignore[attr-defined]
        return fault
    return _Failed(case)


def _write_back(old: Any, new: Any) -> None:
    """Give a mutable argument the content it has after the call."""
    if type(old) is not type(new) or old == new:
        return
    if isinstance(old, list | bytearray):
        old[:] = new
    elif isinstance(old, dict | set):
        old.clear()
        old.update(new)


@functools.lru_cache(maxsize=512)
def _compiled(
    check: str, asserts: tuple[str, ...], setup: str, entry_point: str
) -> tuple[frozenset[str], CodeType, tuple[CodeType, ...]]:
    """Names to stub, and the code of a suite: the programs of a group share it."""
    tests = (check,) if check else asserts
    stubs = free_names("\n".join([setup, *tests])) | ({entry_point} - {""})
    codes = tuple(compile(instrument(t), "<test>", "exec") for t in tests)
    return frozenset(stubs), compile(setup, "<setup>", "exec"), codes


class Oracle:
    """One connection to the worker, serving suites until it closes."""

    def __init__(self, channel: int) -> None:
        self.channel = channel
        self.count = 0
        self.foreseen: Iterator[tuple[bytes, bytes]] | None = None
        self.otherwise = False
        self.cases: list[dict[str, Any]] = []

    def stub(self, name: str) -> Callable[..., Any]:
        """A function that runs ``name`` of the program in its own process."""

        def call(*args: Any, **named: Any) -> Any:
            try:
                words = codec.encode(list(args)), codec.encode(named)
            except (codec.Unserialisable, codec.TooLarge) as fault:
                note = f"an argument of the test is not plain data: {fault}"
                raise _Failed(
                    {"outcome": "sandbox_error", "error": {"type": "TestArgument", "message": note}}
                ) from None
            request = child.request(name, *words, want=child.WITH_ARGUMENTS)
            return self._value(self._reply(request), args)

        call.__name__ = call.__qualname__ = name
        return call

    def _reply(self, request: bytes) -> bytes:
        if self.foreseen is None:
            frames.write(self.channel, CALL + request)
            return frames.read(self.channel)
        asked, reply = next(self.foreseen, (b"", b""))
        if asked != request:
            self.otherwise = True
        if self.otherwise:
            raise _Stop
        return reply

    def _value(self, reply: bytes, args: tuple[Any, ...]) -> Any:
        if reply[:1] != child.VALUE:
            raise _as_exception(json.loads(reply[1:]))
        size = int.from_bytes(reply[1:5], "big")
        try:
            value = codec.decode(reply[5 : 5 + size])
            changed = reply[5 + size :]
            if changed:
                for old, new in zip(args, codec.decode(changed), strict=True):
                    _write_back(old, new)
        except (codec.Malformed, ValueError, TypeError) as fault:
            note = {"type": "Malformed", "message": str(fault)[:200]}
            raise _Failed({"outcome": "protocol_violation", "error": note}) from None
        return value

    def record(self, passed: Any) -> None:
        """One assert was evaluated."""
        self._case({"outcome": "pass" if passed else "wrong_answer"})

    def fail(self, fault: BaseException) -> None:
        """One assert could not be evaluated."""
        if isinstance(fault, _Stop | frames.Closed):
            raise fault
        case = getattr(fault, "case", None)
        if case is None:
            # The comparison itself failed on what the program returned.
            note = {"type": type(fault).__name__, "message": f"in the test: {fault}"[:300]}
            case = {"outcome": "wrong_answer", "error": note}
        self._case(case)

    def _case(self, case: dict[str, Any]) -> None:
        self.count += 1
        if self.count > MAX_CASES:
            raise _Stop
        if self.foreseen is None:
            frames.write(self.channel, CASES + json.dumps([case]).encode())
        else:
            self.cases.append(case)

    def judge(self, suite: dict[str, Any], foreseen: Sequence[tuple[bytes, bytes]]) -> None:
        """Run all tests of one suite in a fresh namespace, then say END.

        With calls and replies foreseen: say all cases at once, or OTHERWISE where the tests
        asked something else.
        """
        self.count, self.otherwise, self.cases = 0, False, []
        self.foreseen = iter(foreseen) if foreseen else None
        random.seed(0)
        space: dict[str, Any] = {"__name__": "tests", RECORD: self.record, FAIL: self.fail}
        try:
            stubs, setup, codes = _compiled(
                suite["check"], tuple(suite["asserts"]), suite["setup"], suite["entry_point"]
            )
            for name in stubs:
                space[name] = self.stub(name)
            exec(setup, space)  # noqa: S102
        except Exception as fault:  # noqa: BLE001  a suite that cannot run is our fault, said so
            frames.write(self.channel, BROKEN + f"{type(fault).__name__}: {fault}"[:300].encode())
            return
        self._run(codes, space, suite)
        if self.foreseen is None:
            frames.write(self.channel, END)
        elif self.otherwise:
            frames.write(self.channel, OTHERWISE)
        else:
            frames.write(self.channel, CASES + json.dumps(self.cases).encode())

    def _run(
        self, codes: tuple[CodeType, ...], space: dict[str, Any], suite: dict[str, Any]
    ) -> None:
        try:
            for code in codes:
                exec(code, space)  # noqa: S102
            if suite["check"]:
                space["check"](self.stub(suite["entry_point"]))
        except _Stop:
            return
        except frames.Closed:
            raise
        except BaseException as fault:  # noqa: BLE001  recorded as the failing test it is
            self.fail(fault)


def serve(channel: int, _config: dict[str, Any]) -> None:
    """Judge suites until the worker closes the channel."""
    oracle = Oracle(channel)
    while True:
        try:
            suite, foreseen = frames.read(channel), frames.read(channel)
            oracle.judge(json.loads(suite), marshal.loads(foreseen) if foreseen else ())  # noqa: S302  ours
        except frames.Closed:
            return
