"""Live objects: what does not cross as data stays where it lives, and the other side gets a proxy.

``{"t": "live", "v": [number, class, special methods, data]}`` is an object that lives at the
sender; ``{"t": "home", "v": number}`` one that lives at the receiver, which has given it out.
``{"t": "known", "v": [module, name]}`` is one of Python's own functions and types, by name.

A proxy does nothing itself: what is done with it is asked of the side where the object lives. It
has those special methods that the object's class has, so the interpreter treats it alike: ``len``,
``for``, ``with``, ``+`` and ``f(...)`` work where they work on the object.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import json
import operator
import sys
import types
from collections.abc import Callable
from typing import Any

Ask = Callable[..., Any]
"""Asks the side where an object lives: a name of an operation, the object, and more arguments."""
_quote = json.encoder.encode_basestring_ascii


def _dunder(names: str) -> frozenset[str]:
    return frozenset(f"__{name}__" for name in names.split())


_WITH_OTHER = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and or xor"
BINARY = frozenset(f"__{side}{name}__" for name in _WITH_OTHER.split() for side in ("", "r", "i"))
ORDER = _dunder("lt le gt ge")
EQUAL = _dunder("eq ne")
NUMBERS = _dunder("abs round int float complex index trunc floor ceil bool")
"""Special methods that make a number, or a truth, of an object."""
SPECIALS = BINARY | ORDER | EQUAL | NUMBERS | _dunder(
    "call getitem setitem delitem contains missing len iter next reversed hash bytes fspath neg pos"
    " invert enter exit aenter aexit aiter anext await instancecheck subclasscheck"
)  # fmt: skip


class Live:
    """Stands for an object that lives on the other side."""

    # No attribute of an object has such a name.
    __slots__ = ("__live_ask__", "__live_number__")
    __live_ask__: Ask
    __live_number__: int

    def __init__(self, number: int, ask: Ask) -> None:
        object.__setattr__(self, "__live_number__", number)
        object.__setattr__(self, "__live_ask__", ask)

    def __getattr__(self, name: str) -> Any:
        return self.__live_ask__("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__live_ask__("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        self.__live_ask__("delattr", self, name)

    def __eq__(self, other: object) -> Any:
        return self.__live_ask__("same", self, other)

    __hash__ = object.__hash__

    def __dir__(self) -> Any:
        return self.__live_ask__("special", self, "__dir__")

    def __repr__(self) -> str:
        return str(self.__live_ask__("special", self, "__repr__"))

    def __str__(self) -> str:
        return str(self.__live_ask__("special", self, "__str__"))

    def __format__(self, form: str) -> str:
        return str(self.__live_ask__("special", self, "__format__", form))

    def __copy__(self) -> Any:
        return self.__live_ask__("copy", self)

    def __deepcopy__(self, memo: Any) -> Any:
        return self.__live_ask__("deepcopy", self)


def _special(name: str) -> Callable[..., Any]:
    def method(self: Live, *arguments: Any, **named: Any) -> Any:
        return self.__live_ask__("special", self, name, *arguments, **named)

    return method


def _await(self: Live) -> Any:
    return self.__live_ask__("await", self)
    yield  # the interpreter wants an iterator


def _attribute(name: str) -> property:
    return property(lambda self: self.__live_ask__("getattr", self, name))


@functools.lru_cache(maxsize=512)
def class_of(name: str, specials: tuple[str, ...]) -> type[Live]:
    """The class of proxies for objects of a class ``name`` with these special methods. Raises
    ValueError for what is none."""
    if not SPECIALS.issuperset(specials) or type(name) is not str:
        raise ValueError("not a special method")
    members: dict[str, Any] = {each: _special(each) for each in specials}
    if "__await__" in members:
        members["__await__"] = _await
    # Every class has these, so they would not be looked for on the other side.
    members |= {each: _attribute(each) for each in ("__doc__", "__module__")}
    return type(name, (Live,), {"__slots__": (), **members})


def specials_of(kind: type) -> tuple[str, ...]:
    """The special methods of a class, without those that every class has."""
    methods = {name: getattr(kind, name, None) for name in SPECIALS}
    return tuple(
        sorted(n for n, m in methods.items() if m is not None and m is not getattr(object, n, None))
    )


class Given:
    """The objects that one side has given out, by number. They are kept, so that a number never
    comes to mean another object."""

    def __init__(self) -> None:
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}

    def number(self, value: Any) -> int:
        """The number of an object, a new one if it has none."""
        known = self._numbers.get(id(value))
        if known is None:
            known = self._numbers[id(value)] = len(self._objects)
            self._objects.append(value)
        return known

    def skip_to(self, number: int) -> None:
        """Leave out the numbers below that are not in use: a process that is gone had them."""
        self._objects += [_GONE] * (number - len(self._objects))

    def __getitem__(self, number: Any) -> Any:
        """The object of a number. Raises LookupError."""
        if type(number) is not int or not 0 <= number < len(self._objects):
            raise LookupError("a number that stands for nothing")
        if self._objects[number] is _GONE:
            raise LookupError("an object of a process that is gone")
        return self._objects[number]


_GONE = object()
_NAMED = (types.BuiltinFunctionType, types.FunctionType, types.MethodDescriptorType, type)
_CONSTANTS = {"NotImplemented": NotImplemented, "Ellipsis": Ellipsis}


def live_text(value: Any, number: int, data: str = "null") -> str:
    """What stands for an object that lives here."""
    kind = type(value)
    name = kind.__name__ if isinstance(kind.__name__, str) else ""
    specials = " ".join(specials_of(kind))
    return f'{{"t":"live","v":[{number},{_quote(name[:100])},"{specials}",{data}]}}'


def home_text(proxy: Live) -> str:
    """What stands for an object that lives at the receiver."""
    return f'{{"t":"home","v":{proxy.__live_number__}}}'


def known_text(value: Any, modules: bool) -> str | None:
    """What stands for something of Python's own; None for anything else. ``modules``: functions
    and types of the whole standard library, else the types of ``builtins`` alone."""
    for name, constant in _CONSTANTS.items():
        if value is constant:
            return f'{{"t":"known","v":["builtins","{name}"]}}'
    if not isinstance(value, _NAMED):
        return None
    owner = getattr(value, "__objclass__", value)
    module, name = getattr(owner, "__module__", None) or "builtins", value.__qualname__
    if not modules and (module != "builtins" or type(value) is not type):
        return None
    try:
        same = operator.attrgetter(name)(sys.modules.get(module)) is value
    except AttributeError:
        return None
    return f'{{"t":"known","v":["{module}","{name}"]}}' if same else None


def known(module: str, name: str) -> Any:
    """Something of the standard library. For names that the trusted side gives. Raises
    ImportError and AttributeError."""
    return operator.attrgetter(name)(importlib.import_module(module))


def known_type(module: str, name: str) -> Any:
    """A type or constant of ``builtins``. Raises ValueError for anything else."""
    if module == "builtins" and type(name) is str:
        found = _CONSTANTS.get(name, getattr(builtins, name, None))
        if isinstance(found, type) or name in _CONSTANTS:
            return found
    raise ValueError("not a type of Python's own")
