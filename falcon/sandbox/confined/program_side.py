"""The program's side of live objects: what it gives to the tests, and what it gets of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..wire import library
from ..wire.live import Given, Live, class_of, known, known_text, live_text
from .arguments import ProgramObjects
from .exceptions import report

_COPIED = ("re.Match", "builtins.generator")


class ProgramSide(ProgramObjects):
    """``space``: the program's names; ``ask``: asks the tests to do something with an object of
    theirs."""

    def __init__(self, space: dict[str, Any], ask: Callable[..., Any]) -> None:
        super().__init__(space)
        self._ask = ask
        self.given = Given()

    def text(self, encoder: Any, value: Any, depth: int) -> str | None:
        """What crosses in the place of a value of the program; None where its data does."""
        kind = type(value)
        if isinstance(value, Live):
            return f'{{"t":"home","v":{value.__live_number__}}}'
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in library.KINDS or name in _COPIED or kind.__module__ == "numpy":
            return None
        if (named := known_text(value, modules=False)) is not None:
            return named
        if _is_iterator(kind) and kind.__module__ in ("builtins", "itertools", "collections"):
            return None  # a copy of what it yields
        number, data = self.given.number(value), "null"
        if _is_exception(value):
            names = [n for each in value.__mro__ if (n := each.__name__).isidentifier()]
            data = encoder.text(names, depth)
        elif isinstance(value, BaseException):
            data = encoder.text(report(value).decode(), depth)
        elif hasattr(kind, "_member_map_") or (
            hasattr(kind, "_fields") and isinstance(value, tuple)
        ):
            data = encoder.of_class(value, kind, name, depth)
        return live_text(value, number, data)

    def home(self, number: int) -> Any:
        """An object of the program that the tests give back."""
        return self.given[number]

    def live(self, number: int, name: str, specials: str, data: Any) -> Any:
        """An object of the tests. It is of the program's class of that name, if there is one, to
        whoever asks: both may have a class from the same text."""
        kind: Any = class_of(name, tuple(specials.split()))
        own = self._space.get(name)
        if isinstance(own, type):
            kind = type(name, (kind,), {"__slots__": (), "__class__": property(lambda self: own)})
        return kind(number, self._ask)

    def known(self, module: str, name: str) -> Any:
        """Something of the standard library, named by the tests."""
        return known(module, name)


def _is_iterator(kind: type) -> bool:
    return hasattr(kind, "__next__") and hasattr(kind, "__iter__")


def _is_exception(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)
