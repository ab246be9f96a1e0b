"""What both sides of live objects have: the program's and the tests'."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from ..wire import codec
from ..wire.encoder import DataEncoder
from ..wire.live import Given, Live, class_of, live_text
from ..wire.stand_ins import StandIns
from .arguments import become
from .exceptions import Classes, own_names, rebuilt, report

_CONTAINERS = (list, dict, set)
_MOST_HELD, _LARGEST_HELD = 32, 1 << 16


class Side(StandIns, ABC):
    """Makes proxies for the objects of the other side, and keeps what it has given out itself.
    Exceptions and their classes are made anew, as only real ones can be raised and caught."""

    def __init__(self) -> None:
        self.given, self.classes = Given(), Classes()
        self._proxies: dict[int, Any] = {}  # an object has one proxy, or `is` would not hold
        # Copies of lists, dicts and sets that objects of the other side hold, and what was in them:
        # what is changed here is changed there before anything else happens.
        self._held: dict[int, tuple[Any, str]] = {}

    def live(self, number: int, name: str, specials: str, data: Any) -> Any:
        """What stands for an object of the other side. ``data``: what of it crosses as data."""
        if number not in self._proxies:
            self._proxies[number] = self.made(number, name, specials, data)
        return self._proxies[number]

    def held_text(self, value: Any, text: str) -> str:
        """The text of what an operation returned, with a number if the object it belongs to may
        go on holding it."""
        if type(value) not in _CONTAINERS or len(text) > _LARGEST_HELD:
            return text
        return f'{{"t":"held","v":[{self.given.number(value)},{text}]}}'

    def held(self, number: int, data: Any) -> Any:
        """A copy of what an object of the other side holds, the same one each time."""
        if type(data) not in _CONTAINERS:
            raise ValueError("not a list, dict or set")
        known = self._held.pop(number, (data, ""))[0]
        if known is not data and type(known) is type(data):
            become(known, data)
            data = known
        if len(self._held) >= _MOST_HELD:
            self._held.pop(next(iter(self._held)))
        self._held[number] = data, self._content(data)
        return data

    def flush(self) -> None:
        """Have the other side's objects hold what their copies hold here by now."""
        for number, (copy, before) in [*self._held.items()]:
            now = self._content(copy)
            if now != before:
                self._held[number] = copy, now
                self.ask("become", Live(number, self.ask), copy)

    def _content(self, copy: Any) -> str:
        return codec.contents([copy], self.text)[0]

    @abstractmethod
    def text(self, encoder: DataEncoder, value: Any, depth: int) -> str | None:
        """What crosses in the place of a value of this side; None where its data does."""

    def home(self, number: int) -> Any:
        """An object of this side that comes back."""
        return self.given[number]

    def given_text(self, encoder: DataEncoder, value: Any, depth: int) -> str:
        """What stands for an object of this side."""
        number = self.given.number(value)
        if isinstance(value, type) and issubclass(value, BaseException):
            bases = [each.__name__ for each in value.__mro__ if each.__module__ == "builtins"]
            names = [own_names(value), bases]
            return live_text(value, number, encoder.text(names, depth))
        if isinstance(value, BaseException):
            return live_text(value, number, encoder.text(report(value).decode(), depth))
        return live_text(value, number)

    def made(self, number: int, name: str, specials: str, data: Any) -> Any:
        """A new proxy, or an exception or class of exceptions that ``data`` describes."""
        if type(data) is list:
            own, bases = data
            return self.classes.of(own, bases)
        if type(data) is str:
            return rebuilt(data.encode(), number, self.classes)
        return class_of(name, tuple(specials.split()))(number, self.ask)

    @abstractmethod
    def ask(self, operation: str, value: Any, *arguments: Any, **named: Any) -> Any:
        """Have the other side do something with an object of its own."""
