"""Exceptions of a program: what a child says of one, and what the test gets to catch.

A class of the program's own does not cross. The test gets an exception of a class of that name,
below the nearest builtin class, with the same arguments, attributes and text where they are plain
data. Where the program only lets through what a function of the tests raised, the test gets that.
"""

from __future__ import annotations

import builtins
import json
import sys
from typing import Any

from ..wire import codec
from ..wire.messages import SOURCE_NAME
from ..wire.records import ErrorReport

_MOST_BYTES = 60_000
_OURS = "ending"  # the attribute that the oracle marks it with
_HOME = "__live_number__"  # of an exception of the tests: its number there
_dumps = json.dumps  # a program that patches it changes nothing here


def report(fault: BaseException) -> bytes:
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
        text = str(fault)
    except BaseException:  # noqa: BLE001  a program's own __str__ may do anything
        text = ""
    known = {"type": type(fault).__name__[:80], "line": line, "message": text[:400]}
    try:
        return _described(fault, known, text)
    except BaseException:  # noqa: BLE001  it may have no room, or no attributes of an exception
        return _dumps(known).encode("ascii", "replace")


def _described(fault: BaseException, report: dict[str, Any], text: str) -> bytes:
    """``report`` as JSON, with what a test may see of the exception where there is room."""
    known = {
        "bases": [each.__name__ for each in type(fault).__mro__ if each.__module__ == "builtins"],
        "own": own_names(type(fault)),
        "home": getattr(fault, _HOME, None),
        "text": text,
        "args": _encoded(fault.args),
        "state": _encoded(getattr(fault, "__dict__", {})),
    }
    full = _dumps(report | known).encode("ascii", "replace")
    return full if len(full) <= _MOST_BYTES else _dumps(report).encode("ascii", "replace")


def _encoded(value: Any) -> str:
    try:
        return codec.encode(value)
    except Exception:  # noqa: BLE001  code of a value's own class may run
        return ""


def own_names(kind: type) -> list[str]:
    """The class and its bases, with their modules, but for those of Python's builtins."""
    return [
        f"{each.__module__}.{each.__name__}"
        for each in kind.__mro__
        if each.__module__ != "builtins"
    ]


class Classes:
    """The classes that one side sees of the other's exceptions, by name. Those of a module of the
    standard library that is in use here are the real ones."""

    def __init__(self) -> None:
        self._known: dict[str, type[BaseException]] = {}

    def of(self, own: list[str], bases: list[Any]) -> type[BaseException]:
        """The class below the first of ``bases`` that is an exception of Python's; ``own``: the
        program's classes, itself first. Raises TypeError for what are no names."""
        kind = _nearest(bases)
        for full in reversed(own):
            if full not in self._known:
                self._known[full] = _of_library(full) or _new(full, kind)
            kind = self._known[full]
        return kind


def raised(error: ErrorReport, body: bytes, classes: Classes) -> Exception | None:
    """The exception that a child described in ``body``; None where no ``except Exception`` would
    catch it. Nothing in it is believed."""
    try:
        known = json.loads(body)
        own = [str(name) for name in known.get("own", ())]
        base = classes.of(own, [*known.get("bases", ()), error.type])
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    if not issubclass(base, Exception):
        return None
    text = known.get("text", error.message)
    args, state = _decoded(known.get("args")), _decoded(known.get("state"))
    args = args if type(args) is tuple else (text,)
    fault = _made(base, args)
    if _text_of(fault) != text:
        fault = _made(type(base.__name__, (base,), {"__str__": lambda _: str(text)}), args)
    if type(state) is dict:
        vars(fault).update((k, v) for k, v in state.items() if type(k) is str and k != _OURS)
    return fault


def _of_library(full: str) -> type[BaseException] | None:
    module, _, name = full.rpartition(".")
    top = module.partition(".")[0]
    if top not in sys.stdlib_module_names or top == "unittest":  # no program skips a test
        return None
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def _new(full: str, base: type[BaseException]) -> type[BaseException]:
    module, _, name = full.rpartition(".")
    if not name.isidentifier():
        raise TypeError("not the name of a class")
    return type(name, (base,), {"__module__": module})


def home_number(body: bytes) -> Any:
    """The number of the exception of the tests that a child described; None for one of its own."""
    try:
        return json.loads(body).get("home")
    except (ValueError, AttributeError, RecursionError):
        return None


def rebuilt(body: bytes, number: int, classes: Classes) -> Exception:
    """An exception that the other side described; ``number``: its own there."""
    fault = raised(ErrorReport("Exception"), body, classes) or RuntimeError("the test ended")
    setattr(fault, _HOME, number)
    return fault


def _nearest(names: list[Any]) -> type[BaseException]:
    for name in names:
        kind = getattr(builtins, name, None)
        if isinstance(kind, type) and issubclass(kind, BaseException):
            return kind
    return Exception


def _made(kind: type[Exception], args: tuple[Any, ...]) -> Exception:
    try:
        return kind(*args)
    except Exception:  # noqa: BLE001  its own arguments do not cross, and it wants others
        made = kind.__new__(kind)
        made.args = args
        return made


def _text_of(fault: Exception) -> str:
    try:
        return str(fault)
    except Exception:  # noqa: BLE001  of arguments that are not the usual ones
        return ""


def _decoded(text: Any) -> Any:
    try:
        return codec.decode(text)
    except codec.Malformed:
        return None
