"""Exceptions of a program: what a child says of one, and what the test gets to catch.

A class of the program's own does not cross. The test gets an exception of the nearest builtin
class, under the name of the program's class, with the same arguments, attributes and text where
they are plain data.
"""

from __future__ import annotations

import builtins
import json
from typing import Any

from ..wire import codec
from ..wire.records import ErrorReport

_MOST_BYTES = 60_000
_OURS = "ending"  # the attribute that the oracle marks it with


def described(fault: BaseException, report: dict[str, Any], text: str) -> bytes:
    """``report`` as JSON, with what a test may see of the exception where there is room."""
    known = {
        "bases": [each.__name__ for each in type(fault).__mro__ if each.__module__ == "builtins"],
        "text": text,
        "args": _encoded(fault.args),
        "state": _encoded(getattr(fault, "__dict__", {})),
    }
    full = json.dumps(report | known).encode("ascii", "replace")
    return full if len(full) <= _MOST_BYTES else json.dumps(report).encode("ascii", "replace")


def _encoded(value: Any) -> str:
    try:
        return codec.encode(value)
    except Exception:  # noqa: BLE001  code of a value's own class may run
        return ""


def raised(error: ErrorReport, body: bytes) -> Exception | None:
    """The exception that a child described in ``body``; None where no ``except Exception`` would
    catch it. Nothing in it is believed."""
    try:
        known = json.loads(body)
        base = _nearest([*known.get("bases", ()), error.type])
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    if not issubclass(base, Exception):
        return None
    text = known.get("text", error.message)
    args, state = _decoded(known.get("args")), _decoded(known.get("state"))
    args = args if type(args) is tuple else (text,)
    fault = _made(error.type, base, args, {})
    if _text_of(fault) != text:
        fault = _made(error.type, base, args, {"__str__": lambda _: str(text)})
    if type(state) is dict:
        vars(fault).update((k, v) for k, v in state.items() if type(k) is str and k != _OURS)
    return fault


def _nearest(names: list[Any]) -> type[BaseException]:
    for name in names:
        kind = getattr(builtins, name, None)
        if isinstance(kind, type) and issubclass(kind, BaseException):
            return kind
    return Exception


def _made(
    name: str, base: type[Exception], args: tuple[Any, ...], methods: dict[str, Any]
) -> Exception:
    kind: Any = base if name == base.__name__ and not methods else type(name, (base,), methods)
    try:
        made = kind(*args)
    except Exception:  # noqa: BLE001  its own arguments do not cross, and it wants others
        made = type(name, (Exception,), methods)(*args)
    assert isinstance(made, Exception)
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
