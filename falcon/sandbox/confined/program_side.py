"""The program's side of live objects: what it gives to the tests, and what it gets of them."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from ..wire import library
from ..wire.encoder import DataEncoder
from ..wire.live import Live, home_text, known, known_text, live_text
from .arguments import ProgramObjects
from .side import Side


class ProgramSide(ProgramObjects, Side):
    """``space``: the program's names; ``ask``: asks the tests to do something with an object of
    theirs."""

    def __init__(self, space: dict[str, Any], ask: Callable[..., Any]) -> None:
        ProgramObjects.__init__(self, space)
        Side.__init__(self)
        self._ask = ask
        self.copies_generators = True

    def text(self, encoder: DataEncoder, value: Any, depth: int) -> str | None:
        """What crosses in the place of a value of the program; None where its data does."""
        kind = type(value)
        if isinstance(value, Live):
            return home_text(value)
        name = library.full_name(kind)
        if library.is_data(kind) or name == "re.Match":
            return None
        if (named := known_text(value, modules=False)) is not None:
            return named
        if kind is types.GeneratorType and not self.copies_generators:
            return self.given_text(encoder, value, depth)
        if _is_iterator(kind) and kind.__module__ in ("builtins", "itertools", "collections"):
            return None  # a copy of what it yields
        if hasattr(kind, "_member_map_") or (hasattr(kind, "_fields") and isinstance(value, tuple)):
            data = encoder.of_class(value, kind, name, depth)
            return live_text(value, self.given.number(value), data)
        return self.given_text(encoder, value, depth)

    def made(self, number: int, name: str, specials: str, data: Any) -> Any:
        """An object of the tests. It is of the program's class of that name, if there is one, to
        whoever asks: both may have a class from the same text."""
        proxy, own = super().made(number, name, specials, data), self._space.get(name)
        if isinstance(proxy, Live) and isinstance(own, type):
            members = {"__slots__": (), "__class__": property(lambda self: own)}
            return type(name, (type(proxy),), members)(number, self.ask)
        return proxy

    def ask(self, operation: str, value: Any, *arguments: Any, **named: Any) -> Any:
        """Have the tests do something with an object of theirs."""
        if operation == "same":
            return value is arguments[0] or NotImplemented
        return self._ask(operation, value, *arguments, **named)

    def known(self, module: str, name: str) -> Any:
        """Something of the standard library, named by the tests."""
        return known(module, name)


def _is_iterator(kind: type) -> bool:
    names = "__next__", "__iter__"
    return all(hasattr(kind, name) for name in names) and not hasattr(kind, "__await__")
