"""The process that runs one program. Nothing it sends is believed beyond plain data.

It gets compiled code and arguments by its own socket and answers each request with one frame:
a kind, the request's nonce, and a body. An empty request means that no more will come, and it
exits. It holds no expected value and no test.
"""

import atexit
import builtins
import contextlib
import io
import json
import marshal
import mmap
import os
import sys
import threading
import types
from typing import Any

from ..wire import codec, frames
from ..wire.messages import (
    NONCE,
    OPERATION,
    PRESENCE,
    SOURCE_NAME,
    TRUTH,
    WITH_ARGUMENTS,
    WITH_GENERATORS,
    Job,
    Reply,
)
from ..wire.messages import unpack_job as _unpack_job
from .arguments import changes, inside
from .exceptions import rebuilt as _rebuilt
from .exceptions import report as _report
from .operations import OPERATIONS
from .program_side import ProgramSide

CHANNEL = 60
# Bound before a program runs: one that patches these modules changes nothing here.
# And each lookup in a class would touch pages that every child must copy.
_write, _exit, _open = frames.write, os._exit, open
_dumps, _loads, _unpack = json.dumps, json.loads, marshal.loads
_encode, _decode = codec.encode, codec.decode_call
_contents, _changes, _inside = codec.contents, changes, inside
_HELLO, _LOADED, _DONE = Reply.HELLO, Reply.LOADED, Reply.DONE
_TRACE, _ERROR, _VALUE, _CALLBACK = Reply.TRACE, Reply.ERROR, Reply.VALUE, Reply.CALLBACK
_WHOLE, _TRACED = (Job.WHOLE, Job.WHOLE_TRACED), (Job.WHOLE_TRACED, Job.MODULE_TRACED)
_PRELUDE = (Reply.PRELUDE_RAN, Reply.PRELUDE_FAILED)
_BUFFERED = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
_DEVICES = {
    name: number
    for number, stream in enumerate(("stdin", "stdout", "stderr"))
    for name in (f"/dev/{stream}", f"/dev/fd/{number}", f"/proc/self/fd/{number}")
}
_LIVE = (WITH_ARGUMENTS, WITH_GENERATORS)
_GLOBAL = OPERATION + "global"
_reserve: list[mmap.mmap] = []


def set_reserve() -> None:
    """Set memory aside for the report of a MemoryError. Called in the template: a mapping that
    is never touched costs its children nothing."""
    _reserve.append(mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


class Tracer:
    """Collects the lines of the program that ran since the last answer."""

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
        """The lines in order, as JSON; the next ones are collected anew."""
        lines, self._lines = self._lines, set()
        return json.dumps(sorted(lines)).encode()


_tracers: list[Tracer] = []  # one, or none without a trace


def _answer(kind: bytes, nonce: bytes, body: bytes = b"") -> None:
    if _tracers:
        _write(CHANNEL, _TRACE + nonce + _tracers[0].take())
    _write(CHANNEL, kind + nonce + body)


def _fail(nonce: bytes, fault: BaseException, kind: bytes = _ERROR) -> None:
    while _reserve:
        _reserve.pop().close()
    _answer(kind, nonce, _report(fault))


class Calls:
    """The calls that the tests make of the program, one within another where the program calls
    the tests' own functions meanwhile."""

    def __init__(self, space: dict[str, Any], inbox: frames.Inbox) -> None:
        self._space, self._inbox = space, inbox
        # Made where it is needed: most programs answer with data, and what they touch of a
        # module costs them copies of its pages.
        self._side: ProgramSide | None = None
        self._open: list[bytes] = []  # nonces of those that are not answered

    def serve(self) -> None:
        """Answer each request until an empty one comes."""
        while request := self._inbox.read():
            self._call(request)

    def _live_side(self) -> ProgramSide:
        if self._side is None:
            self._side = ProgramSide(self._space, self._ask_tests)
        return self._side

    def _target(self, name: str) -> Any:
        """What a call names: something the program defines, or ``Class().method``, of a fresh
        object for each call (LeetCode's form); the first of several that is there
        (``A().f|f``); or an operation on a live object."""
        if name[:1] == OPERATION:
            return self._value_of if name == _GLOBAL else OPERATIONS[name[1:]]
        for each in name.split("|"):
            owner, _, method = each.partition("().")
            target = self._space.get(owner)
            if target is not None:
                return getattr(target(), method) if method else target
        raise NameError(f"name '{owner}' is not defined")

    def _value_of(self, name: str) -> Any:
        if name not in self._space:
            raise NameError(f"name '{name}' is not defined")
        return self._space[name]

    def _call(self, request: bytes) -> None:
        nonce = request[:NONCE]
        name, arguments, named, want, seen, room = _unpack(request[NONCE:])
        objects: list[Any] = []
        before: list[str] = []
        side = live = None
        self._open.append(nonce)
        try:
            if want in _LIVE:
                side = self._live_side()
                live, side.copies_generators = side.text, want != WITH_GENERATORS
            if isinstance(arguments, str):
                arguments, named, objects = _decode(arguments, named, self._live_side())
            if side is not None:
                side.given.skip_to(seen)
                objects = objects or _inside(named, _inside(arguments, []))
                before = _contents(objects, live)
            value = self._target(name)(*arguments, **named)
            if side is not None:
                side.flush()
            if want == PRESENCE or (want == TRUTH and type(value) is not bool):
                value = value is not None
        except BaseException as fault:  # noqa: BLE001  SystemExit and KeyboardInterrupt count too
            _fail(nonce, fault)
            self._open.pop()
            return
        try:
            text = _encode(value, objects=objects if before else None, live=live, room=room)
            if side is not None and name[:1] == OPERATION:
                text = side.held_text(value, text)
            changed = _changes(objects, before, live) if before and live else ""
            if len(changed) > room * codec.BYTES:
                raise codec.TooLarge(f"more than {room} MiB in changed arguments")
        except codec.Unserialisable as fault:
            _answer(Reply.UNSERIALISABLE, nonce, str(fault).encode("utf-8", "replace"))
        except codec.TooLarge as fault:
            _answer(Reply.TOO_LARGE, nonce, str(fault).encode("utf-8", "replace"))
        except BaseException as fault:  # noqa: BLE001  code of the value's own class may run
            _fail(nonce, fault)
        else:
            body = len(text).to_bytes(4, "big") + text.encode() + changed.encode()
            _answer(_VALUE, nonce, body)
        self._open.pop()  # only now: an iterator that was read may have asked the tests

    def _ask_tests(self, operation: str, *arguments: Any, **named: Any) -> Any:
        """Have the tests do something with an object of theirs. Raises what that raises."""
        if not self._open:
            raise RuntimeError("no test is waiting for this program")
        nonce, side = self._open[-1], self._live_side()
        if operation != "become":
            side.flush()
        asked = *arguments, named
        _write(
            CHANNEL,
            _CALLBACK + nonce + _dumps([operation, _encode(asked, live=side.text)]).encode(),
        )
        while (frame := self._inbox.read())[:NONCE] != nonce:
            self._call(frame)  # the tests call the program before they answer
        encoded, fault = _loads(frame[NONCE:])
        if fault is None:
            return _decode(encoded[0], encoded[1], side)[0][0]
        raise _rebuilt(fault[0].encode(), fault[1], side.classes)


def _flush_files(space: dict[str, Any]) -> None:
    """Write out what is buffered, as the interpreter does at its end: of the standard output and
    of files that the program still holds. What fails there fails no program."""
    for file in (sys.stdout, sys.__stdout__, *space.values()):
        if file is sys.stdout or type(file) in _BUFFERED:
            with contextlib.suppress(Exception):
                file.flush()


def _finish_program(space: dict[str, Any]) -> None:
    """What the interpreter does at its end: other threads, exit functions, output."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    _flush_files(space)


class _Open:
    """``open`` where there is no /proc: the standard streams have names all the same. Not a
    function: as an attribute of a class it would be a method."""

    def __call__(self, file: Any, *rest: Any, **named: Any) -> Any:
        stream = None if type(file) is int else _DEVICES.get(str(file))
        return _open(file if stream is None else os.dup(stream), *rest, **named)


def _run_whole(code: types.CodeType, space: dict[str, Any], nonce: bytes) -> None:
    builtins.open = io.open = _Open()  # type: ignore[assignment]
    try:
        try:
            exec(code, space)  # noqa: S102
        except SystemExit as fault:
            if fault.code not in (None, 0):
                raise
        _finish_program(space)
    except BaseException as fault:  # noqa: BLE001
        _flush_files(space)
        _fail(nonce, fault)
    else:
        _answer(_DONE, nonce)


def _load(code: bytes, space: dict[str, Any], nonce: bytes, done: bytes, failed: bytes) -> bool:
    try:
        exec(_unpack(code), space)  # noqa: S102
    except BaseException as fault:  # noqa: BLE001
        _fail(nonce, fault, failed)
        return False
    _answer(done, nonce)
    return True


def main(channel: int, stdin: int, stdout: int) -> None:
    """Run the job that comes by ``channel`` and exit. Never returns."""
    # A number that programs do not reach: they may close or replace the first few.
    os.dup2(channel, CHANNEL, inheritable=False)
    os.dup2(stdin, 0)
    os.dup2(stdout, 1)
    os.closerange(3, CHANNEL)
    os.closerange(CHANNEL + 1, 64)
    try:
        # The first byte on the socket: the kernel tells the worker who wrote it.
        _write(CHANNEL, _HELLO)
        inbox = frames.Inbox(CHANNEL)
        kind, nonce, prelude, code = _unpack_job(inbox.read())
        whole = kind in _WHOLE
        name = "__main__" if whole else "solution"
        module = types.ModuleType(name)
        sys.modules[name] = module
        space = module.__dict__
        # The end of the prelude is sent first, so that no program can pretend that it failed.
        if prelude and not _load(prelude, space, nonce, *_PRELUDE):
            return
        if kind in _TRACED:
            _tracers.append(Tracer())
            _tracers[0].start()
        if whole:
            _run_whole(_unpack(code), space, nonce)
        elif _load(code, space, nonce, _LOADED, _ERROR):
            Calls(space, inbox).serve()
    finally:
        _exit(0)  # whatever was raised: the worker has its answer, or the lack of one, or has gone
