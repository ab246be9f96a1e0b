"""The tests' side of live objects: what a test sees of the program's, and what it gives away.

A proxy must not become a way to a pass. So that no object can declare itself right:

- An object equals nothing but another object of the program, and two of those are equal only if
  the program says so and they hold equal data, which is compared here.
- Expected values do not reach the program as operands: ``f(2) - 4`` is not put to an object that
  ``f`` returned. It is where the test itself made the object, by the name of a class, as
  ``Vector(1, 2) * 3``; what comes of that must be an object again, and no number is made of it.
- An object's order is asked only beside another object of the program.

The program may do with an object of the tests what it could do if it had it, but neither look
behind it, by names with two underscores, where the tests' own values are to be found, nor replace
its methods, by which a test may judge.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import types
from collections.abc import Callable
from typing import Any

from ..wire import codec
from ..wire.encoder import DataEncoder
from ..wire.live import (
    BINARY,
    EQUAL,
    NUMBERS,
    ORDER,
    SPECIALS,
    Live,
    home_text,
    known_text,
    known_type,
)
from ..wire.records import ErrorReport, Outcome
from ..wire.stand_ins import PROXIED, PROXY
from .arguments import numpy_array
from .exceptions import home_number, raised, report
from .operations import OPERATIONS
from .side import Side

TESTS = "tests"
"""Name of the module that test code is."""
_MOST_OBJECTS = 1_000_000
_FUNCTIONS = (types.FunctionType, types.MethodType, types.BuiltinMethodType, types.CoroutineType,
              functools.partial)  # fmt: skip
_MOCK = "unittest.mock"
_MODULES = (TESTS, _MOCK, "operator")
_MAKING = ("__call__", "__neg__", "__pos__", "__invert__")
_SHOWN = ("__repr__", "__str__", "__format__", "__dir__")
_NAMES = ("__name__", "__qualname__", "__doc__", "__module__")
Fail = Callable[..., BaseException]


class TestsSide(Side):
    """``ask``: does an operation on an object of the program, in its own process. ``fail``: what
    ends a test. ``arrays``: numpy's are passed on as they are, since the tests know it."""

    __test__ = False

    def __init__(self, ask: Callable[..., Any], fail: Fail, *, arrays: bool) -> None:
        super().__init__()
        self._ask_program, self._fail, self._arrays = ask, fail, arrays
        self.seen = 0  # numbers of the program's objects that are in use
        # Numbers of objects that the test made itself, and of what operators made of those
        # and of a value of the test.
        self._own: set[int] = set()
        self._mixed: set[int] = set()
        self._lost: tuple[int, BaseException] | None = None
        # The class of an object that a test compared with data: that is why the test fails.
        self.strange = ""

    # What comes from the program.

    def live(self, number: int, name: str, specials: str, data: Any) -> Any:
        """A proxy, or an exception, or data that has the object's methods."""
        self._note_number(number)
        return super().live(number, name, specials, data)

    def held(self, number: int, data: Any) -> Any:
        """A copy of a list, dict or set that an object of the program holds."""
        self._note_number(number)
        return super().held(number, data)

    def _note_number(self, number: int) -> None:
        if type(number) is not int or not 0 <= number < _MOST_OBJECTS:
            raise ValueError("not a number of an object")
        self.seen = max(self.seen, number + 1)

    def made(self, number: int, name: str, specials: str, data: Any) -> Any:
        """A proxy, or data that has the object's methods."""
        is_data = data is not None and type(data) not in (list, str)
        proxy = super().made(number, name, specials, None if is_data else data)
        if is_data:
            if type(data) in PROXIED:
                vars(data)[PROXY] = proxy
            return data
        is_coroutine = isinstance(proxy, Live) and name == "coroutine"
        return self._awaited(proxy) if is_coroutine else proxy

    async def _awaited(self, proxy: Live) -> Any:
        return self.ask("await", proxy)

    def known(self, module: str, name: str) -> Any:
        """A type of Python's own."""
        return known_type(module, name)

    def array(self, dtype: str, shape: tuple[int, ...], *flat: Any) -> Any:
        """As the tests would see it without us."""
        lists = super().array(dtype, shape, *flat)  # checks the shape
        return numpy_array(dtype, shape, flat) if self._arrays else lists

    def unread(self) -> BaseException:
        """The ending of the test."""
        return self._fail(Outcome.OUTPUT_LIMIT, "it goes on after what crosses of it", "Iterator")

    def lose_all(self, ending: BaseException) -> None:
        """The process of the program's objects is gone; ``ending``: of a test that uses one."""
        self._lost = self.seen, ending
        self._held.clear()

    def raised(self, error: ErrorReport, described: bytes) -> Exception | None:
        """The exception of a call of the program: the tests' own, where that only went through."""
        number = home_number(described)
        if number is not None:
            with contextlib.suppress(LookupError):
                fault = self.given[number]
                return fault if isinstance(fault, Exception) else None
        return raised(error, described, self.classes)

    # What a test does with it.

    def made_by_test(self, value: Any) -> Any:
        """``value``, which the test got by calling a class by its name."""
        if isinstance(value, Live):
            self._own.add(value.__live_number__)
        return value

    def ask(self, operation: str, value: Any, *arguments: Any, **named: Any) -> Any:
        """What a test does with an object of the program."""
        if operation == "become":
            return self._ask_program(operation, value, *arguments)
        name = arguments[0] if operation == "special" else ""
        if operation == "same" or name in EQUAL:
            other = arguments[-1]
            if not isinstance(other, Live):
                self.strange = type(value).__name__
                return NotImplemented  # of which the interpreter makes that they are not equal
            if operation == "same":
                return value is other or NotImplemented
            return self._equal(value, name, other)
        others = [each for each in arguments[1:] if not isinstance(each, Live)]
        number = value.__live_number__
        if number in self._mixed and (name in NUMBERS or name == "__len__"):
            raise self._refused(value)
        if name == "__contains__" and others and number not in self._own:
            return any(others[0] == each for each in value)
        asks = name in BINARY or name in ORDER
        if asks and others and (name in ORDER or number not in self._own):
            raise self._refused(value)
        result = self._ask_program(operation, value, *arguments, **named)
        if asks and others and result is not NotImplemented:
            if not isinstance(result, Live):
                raise self._refused(value)
            self._mixed.add(result.__live_number__)
        makes = asks or name in _MAKING or (operation == "getattr" and _is_class(value))
        return self.made_by_test(result) if makes and number in self._own else result

    def _equal(self, value: Live, name: str, other: Live) -> Any:
        """Whether two objects are (un)equal: what the program says, if their data agrees."""
        says = self._ask_program("special", value, name, other)
        if says is NotImplemented:
            return says
        says = bool(says)
        states = [codec.decode(self._ask_program("state", each)) for each in (value, other)]
        equal = states[0] == states[1]
        if says != (equal == (name == "__eq__")):
            note = (
                f"objects of {type(value).__name__} are equal by their class and not by their data"
            )
            raise self._fail(Outcome.WRONG_ANSWER, note)
        return says

    def _refused(self, value: Live) -> BaseException:
        return self._fail(Outcome.UNSERIALISABLE, type(value).__name__)

    # What goes to the program.

    def text(self, encoder: DataEncoder, value: Any, depth: int) -> str | None:
        """What crosses in the place of a value of the tests; None where its data does."""
        kind = type(value)
        proxy = value.__dict__.get(PROXY) if kind in PROXIED else value
        if isinstance(proxy, Live):
            if not self._lost or proxy.__live_number__ >= self._lost[0]:
                return home_text(proxy)
            if kind not in PROXIED:
                raise self._lost[1]
        if kind in PROXIED:
            return None
        if isinstance(value, Name):
            return self.text(encoder, value.value(), depth)
        if (named := known_text(value, modules=True)) is not None:
            return named
        if isinstance(value, types.TracebackType):
            return "null"  # what is in it is not for the program
        if _is_given(value) or isinstance(value, BaseException):
            return self.given_text(encoder, value, depth)
        return None

    def answer(self, asked: bytes) -> bytes:
        """What the program asks to do with an object of the tests. Raises what ends the test."""
        try:
            operation, text = json.loads(asked)
            value, *arguments, named = codec.decode(text, build=self)
            if not _is_allowed(operation, value, arguments):
                raise codec.Malformed("no operation on an object of the tests")
            named = dict(named)
        except Exception as fault:  # noqa: BLE001  it may say anything
            raise self._fail(Outcome.PROTOCOL_VIOLATION, str(fault)[:200], "Malformed") from None
        try:
            if operation.endswith("attr"):
                _check_attribute(value, str(arguments[0]), changes=operation != "getattr")
            result = OPERATIONS[operation](value, *arguments, **named)
            text, names, _ = codec.encode_call((result,), {}, iterators=True, live=self.text)
            encoded = f"[{self.held_text(result, text[1:-1])}]", names
        except Exception as fault:  # noqa: BLE001  it is the program's to handle
            described = report(fault).decode(), self.given.number(fault)
            return json.dumps([None, described]).encode()
        return json.dumps([encoded, None]).encode()


def _is_class(value: Live) -> bool:
    return hasattr(type(value), "__instancecheck__")


def _is_allowed(operation: Any, value: Any, arguments: list[Any]) -> bool:
    if isinstance(value, list | dict | set):
        return bool(operation == "become")
    if operation == "special":
        known = bool(arguments) and arguments[0] in (*SPECIALS, *_SHOWN)
    else:
        known = operation in ("getattr", "setattr", "delattr", "await", "copy", "deepcopy")
    return known and _is_given(value)


def _check_attribute(value: Any, name: str, *, changes: bool) -> None:
    """Raises AttributeError for what leads behind an object, to the tests themselves, and for
    changes of what a test may judge by: the methods of an object."""
    of_tests, method = type(value).__module__ == TESTS, hasattr(type(value), name)
    fine = not name.startswith("_") or (of_tests and name[:2] != "__")
    if changes:
        fine = fine and of_tests and not callable(getattr(type(value), name, None))
    elif type(value).__module__ == _MOCK:
        fine = fine and not method  # a mock within it, and nothing that sets it up anew
    else:
        fine = fine or name in _NAMES
    if not fine:
        raise AttributeError(f"{type(value).__name__!r} object has no attribute {name!r}")


def _is_given(value: Any) -> bool:
    """Whether the program gets it as a live object: functions, and objects and classes that the
    tests define, but for those that are data alone."""
    if isinstance(value, type):
        return value.__module__ == TESTS
    kind = type(value)
    if isinstance(value, _FUNCTIONS) or kind is object:
        return True
    if kind.__module__ not in _MODULES or isinstance(value, BaseException):
        return False
    if "unittest.case" in (each.__module__ for each in kind.__mro__):
        return False  # it judges
    if hasattr(kind, "_fields") or hasattr(kind, "_member_map_"):
        return False
    return not dataclasses.is_dataclass(value) or bool(_methods(kind))


def _methods(kind: type) -> list[str]:
    return [n for n, v in vars(kind).items() if callable(v) and not n.startswith("_")]


class Name:
    """A name of the program in the tests: called, it runs there; all else is asked of its value."""

    def __init__(self, name: str, call: Callable[..., Any], value: Callable[[str], Any]) -> None:
        self.__name__ = self.__qualname__ = name
        self._call, self._value = call, value

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._call(*arguments, **named)

    def value(self) -> Any:
        """What the program has by this name."""
        return self._value(self.__name__)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.value(), name)

    def __instancecheck__(self, other: Any) -> bool:
        return isinstance(other, self.value())

    def __subclasscheck__(self, other: Any) -> bool:
        return issubclass(other, self.value())
