"""What may be done with a live object, by name: the side where it lives does it."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from typing import Any

from ..wire import codec, library
from ..wire.encoder import DataEncoder
from .arguments import become

_BASES = (int, float, complex, str, bytes, tuple, list, dict, set, frozenset)


def _special(value: Any, name: str, *arguments: Any, **named: Any) -> Any:
    """As the interpreter does: by the class, whatever the object has."""
    return getattr(type(value), name)(value, *arguments, **named)


def _wait(awaitable: Any) -> Any:
    """The result of a coroutine, or of anything else that can be awaited."""
    asyncio = importlib.import_module("asyncio")

    async def result() -> Any:
        return await awaitable

    outer = asyncio._get_running_loop()
    if outer is None:
        if not _loops:  # one for all that a test waits for: locks and queues belong to a loop
            _loops.append(asyncio.new_event_loop())
        return _loops[0].run_until_complete(result())
    # In the midst of another one, which waits meanwhile as it does in any call.
    inner = asyncio.new_event_loop()
    asyncio._set_running_loop(None)
    try:
        return inner.run_until_complete(result())
    finally:
        asyncio._set_running_loop(outer)
        inner.close()


_loops: list[Any] = []


def _state(value: Any) -> str:
    """All that an object holds, and the objects of own classes that it holds, as plain data: of
    two that are made alike the states are equal. Raises Unserialisable and TooLarge."""
    found, numbers = [value], {id(value): 0}

    def instead(encoder: DataEncoder, each: Any, depth: int) -> str | None:
        if library.is_data(type(each)):
            return None
        number = numbers.setdefault(id(each), len(found))
        if number == len(found):
            found.append(each)
        return f'{{"t":"tuple","v":["object",{number}]}}'

    texts: list[str] = []
    for each in found:  # grows
        texts.append(codec.encode(_parts(each), live=instead))
        if sum(map(len, texts)) > codec.BYTES:
            raise codec.TooLarge("more than 1 MiB")
    return f"[{','.join(texts)}]"


def _parts(value: Any) -> list[Any]:
    """Class, content where it is a subclass of a builtin type, and attributes."""
    kind = type(value)
    if kind.__module__ == "builtins":  # a function or a class, say
        return [kind.__name__, getattr(value, "__qualname__", "")]
    base = next((each for each in _BASES if isinstance(value, each)), None)
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is None:
        slots = [getattr(each, "__slots__", ()) for each in kind.__mro__]
        names = [*getattr(value, "__dict__", ())]
        names += [n for each in slots for n in ((each,) if isinstance(each, str) else each)]
    else:
        names = [name for name, field in fields.items() if field.compare]
    held = {name: getattr(value, name) for name in names if hasattr(value, name)}
    return [kind.__qualname__, base and base(value), held]


OPERATIONS: dict[str, Callable[..., Any]] = {
    "getattr": getattr, "setattr": setattr, "delattr": delattr,
    "special": _special, "await": _wait, "state": _state,
    "become": become, "copy": copy.copy, "deepcopy": copy.deepcopy,
}  # fmt: skip
