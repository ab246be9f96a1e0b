"""The process that runs one program. Nothing it says is believed beyond plain data.

It gets compiled code and arguments by its own socket and answers each request with one
frame: a kind, the request's nonce, and a body. An empty request says that no more will come,
and it exits. It holds no expected value and no test.
"""

from __future__ import annotations

import atexit
import json
import marshal
import mmap
import os
import sys
import threading
import types
from typing import Any

from . import codec, frames

CHANNEL = 60
SOURCE_NAME = "<program>"
VALUE_ONLY, WITH_ARGUMENTS, TRUTH, PRESENCE = range(4)
WHOLE, MODULE, WHOLE_TRACED, MODULE_TRACED = b"W", b"M", b"w", b"m"
HELLO, LOADED, DONE, TRACE = b"H", b"L", b"D", b"T"
PRELUDE_RAN, PRELUDE_FAILED = b"R", b"P"
VALUE, ERROR, UNSERIALISABLE, TOO_LARGE = b"V", b"E", b"U", b"O"
_write, _exit, _flush = frames.write, os._exit, sys.stdout.flush
_dumps, _encode, _decode, _unpack = json.dumps, codec.encode, codec.decode, marshal.loads
_reserve: list[mmap.mmap] = []


def set_reserve() -> None:
    """Set memory aside for the report of a MemoryError. In the template: a mapping that
    nobody has touched costs its children nothing."""
    _reserve.append(mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def _report(fault: BaseException) -> bytes:
    """Type, last line within the program and message of an exception, as JSON."""
    line, trace = 0, fault.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == SOURCE_NAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    if line == 0 and isinstance(fault, SyntaxError) and fault.filename == SOURCE_NAME:
        line = fault.lineno or 0
    # The frames hold what filled the memory; without them there is room to answer.
    fault.__traceback__ = None
    try:
        message = str(fault)[:400]
    except BaseException:  # noqa: BLE001  a program's own __str__ may do anything
        message = ""
    return _dumps({"type": type(fault).__name__[:80], "line": line, "message": message}).encode(
        "ascii", "replace"
    )


class Tracer:
    """Lines of the program that ran since the last answer."""

    def __init__(self) -> None:
        self._lines: set[int] = set()

    def start(self) -> None:
        """Trace this thread and those to come."""
        threading.settrace(self._enter)
        sys.settrace(self._enter)

    def _enter(self, frame: types.FrameType, event: str, argument: Any) -> Any:
        return self._line if frame.f_code.co_filename == SOURCE_NAME else None

    def _line(self, frame: types.FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self._lines.add(frame.f_lineno)
        return self._line

    def take(self) -> bytes:
        """The lines in order, as JSON, and start anew."""
        lines, self._lines = self._lines, set()
        return json.dumps(sorted(lines)).encode()


_tracers: list[Tracer] = []


def request(function: str, arguments: str, named: str, *, want: int = VALUE_ONLY) -> bytes:
    """A request without its nonce: what to call with which encoded arguments, and what is
    wanted of the result: the value; with it the arguments where the call changed them; a
    bool as it is and else whether there is a value; or just whether there is one.

    Marshalled, since the child may trust what we send and has marshal's code at hand; text
    stays text only where marshal would change a type.
    """
    exact = "bytearray" not in arguments and "bytearray" not in named
    given: tuple[Any, Any] = (arguments, named)
    if exact:
        given = codec.decode(arguments, budget=False), codec.decode(named, budget=False)
    return marshal.dumps((function, *given, want), 2)


def _answer(kind: bytes, nonce: bytes, body: bytes = b"") -> None:
    if _tracers:
        _write(CHANNEL, TRACE + nonce + _tracers[0].take())
    _write(CHANNEL, kind + nonce + body)


def _fail(nonce: bytes, fault: BaseException) -> None:
    while _reserve:
        _reserve.pop().close()
    _answer(ERROR, nonce, _report(fault))


def _target(space: dict[str, Any], name: str) -> Any:
    """What a call names: something the program defines, or ``Class().method``, of a fresh
    object for each call (LeetCode's form); the first of several that is there (``A().f|f``)."""
    for each in name.split("|"):
        owner, _, method = each.partition("().")
        target = space.get(owner)
        if target is not None:
            return getattr(target(), method) if method else target
    raise NameError(f"name '{owner}' is not defined")


def _call(space: dict[str, Any], request: bytes) -> None:
    nonce = request[:8]
    name, arguments, named, want = _unpack(request[8:])
    if isinstance(arguments, str):
        arguments, named = _decode(arguments, budget=False), _decode(named, budget=False)
    before = _encode(arguments, budget=False) if want == WITH_ARGUMENTS else ""
    try:
        value = _target(space, name)(*arguments, **named)
        if want == PRESENCE or (want == TRUTH and type(value) is not bool):
            value = value is not None
    except BaseException as fault:  # noqa: BLE001  SystemExit and KeyboardInterrupt count too
        _fail(nonce, fault)
        return
    try:
        text = _encode(value)
        after = _encode(arguments) if want == WITH_ARGUMENTS else ""
    except codec.Unserialisable as fault:
        _answer(UNSERIALISABLE, nonce, str(fault).encode("utf-8", "replace"))
    except codec.TooLarge as fault:
        _answer(TOO_LARGE, nonce, str(fault).encode("utf-8", "replace"))
    except BaseException as fault:  # noqa: BLE001  code of the value's own class may run
        _fail(nonce, fault)
    else:
        changed = after if after != before else ""
        _answer(VALUE, nonce, len(text).to_bytes(4, "big") + text.encode() + changed.encode())


def _serve_calls(space: dict[str, Any], inbox: frames.Inbox) -> None:
    while True:
        try:
            request = inbox.read()
        except frames.Closed:
            return
        if not request:
            return
        _call(space, request)


def _finish_program() -> None:
    """What the interpreter does at its end: other threads, exit functions, output."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    if sys.__stdout__ is not None and sys.__stdout__ is not sys.stdout:
        sys.__stdout__.flush()


def _run_whole(code: types.CodeType, space: dict[str, Any], nonce: bytes) -> None:
    try:
        try:
            exec(code, space)  # noqa: S102
        except SystemExit as fault:
            if fault.code not in (None, 0):
                raise
        _finish_program()
    except BaseException as fault:  # noqa: BLE001
        _flush()
        _fail(nonce, fault)
    else:
        _answer(DONE, nonce)


def _load(code: types.CodeType, space: dict[str, Any], nonce: bytes) -> bool:
    try:
        exec(code, space)  # noqa: S102
    except BaseException as fault:  # noqa: BLE001
        _fail(nonce, fault)
        return False
    _answer(LOADED, nonce)
    return True


def _run_prelude(code: types.CodeType, space: dict[str, Any], nonce: bytes) -> bool:
    """Run what the suite puts before the program. Its end is the first thing said, so that no
    program can pretend that it failed."""
    try:
        exec(code, space)  # noqa: S102
    except BaseException as fault:  # noqa: BLE001
        _answer(PRELUDE_FAILED, nonce, _report(fault))
        return False
    _answer(PRELUDE_RAN, nonce)
    return True


def main(channel: int, stdin: int, stdout: int) -> None:
    """Run the job that comes by ``channel`` and exit. Never returns."""
    os.dup2(channel, CHANNEL, inheritable=False)
    os.dup2(stdin, 0)
    os.dup2(stdout, 1)
    os.closerange(3, CHANNEL)
    os.closerange(CHANNEL + 1, 64)
    try:
        _write(CHANNEL, HELLO)
        inbox = frames.Inbox(CHANNEL)
        job = inbox.read()
        whole, nonce = job[:1] in (WHOLE, WHOLE_TRACED), job[1:9]
        middle = 13 + int.from_bytes(job[9:13], "big")
        prelude, code = job[13:middle], _unpack(job[middle:])
        name = "__main__" if whole else "solution"
        module = types.ModuleType(name)
        sys.modules[name] = module
        if prelude and not _run_prelude(_unpack(prelude), module.__dict__, nonce):
            return
        if job[:1] in (WHOLE_TRACED, MODULE_TRACED):
            _tracers.append(Tracer())
            _tracers[0].start()
        if whole:
            _run_whole(code, module.__dict__, nonce)
        elif _load(code, module.__dict__, nonce):
            _serve_calls(module.__dict__, inbox)
    finally:
        _exit(0)
