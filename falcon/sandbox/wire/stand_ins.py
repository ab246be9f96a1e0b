"""Stand-ins: what a test sees of objects whose classes are the program's own.

The class itself never crosses, so nothing of it decides a comparison: a stand-in holds plain data
and is equal to what Python says of such data. A named tuple equals a tuple, a member of an IntEnum
an int; a dataclass or a plain Enum equals only its like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

DTYPE = re.compile(r"[<>|=]([biu]\d|f[248]|c8|c16|[SUO]\d*|[mM]8(\[\w+\])?)")
"""Types of numpy's arrays that cross: not those whose values are no plain data, such as records."""
_MOST_DIMENSIONS, _MOST_EMPTY = 32, 1000
_END = object()


class Unread(Exception):
    """The end of what crossed of an iterator that goes on."""


class Token:
    """Stands for an ``re.Match``: true, and equal to itself alone."""

    def __repr__(self) -> str:
        return "<re.Match object>"


PROXY = "__live_proxy__"
"""Of a stand-in: the proxy for the object that it stands for, if there is one."""


class _Proxied:
    """Data with the methods of the object that it stands for, by a proxy."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        proxy = self.__dict__.get(PROXY)
        if proxy is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(proxy, name)


class Named(_Proxied, tuple[Any, ...]):
    """Stands for a named tuple. The defaults are for copies, which set the attributes later."""

    def __new__(cls, values: Sequence[Any], name: str = "", fields: tuple[str, ...] = ()) -> Named:
        made = super().__new__(cls, values)
        made.__dict__.update(zip(fields, values, strict=bool(fields)), _name=name, _fields=fields)
        return made

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self.__dict__["_fields"], self, strict=True))

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
        return f"{self.__dict__['_name']}({inner})"


class Record:
    """Stands for an instance of a dataclass, whose fields are its attributes. ``compared``: those
    that equality looks at."""

    # Kept apart from the fields, which may have any other name.
    __slots__ = ("__compared__", "__dict__", "__owner__")

    def __init__(self, owner: str, compared: tuple[str, ...], values: dict[str, Any]) -> None:
        self.__owner__, self.__compared__ = owner, compared
        self.__dict__.update(values)

    def __eq__(self, other: object) -> bool:
        return type(other) is Record and _key(self) == _key(other)

    def __hash__(self) -> int:
        return hash(_key(self))

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self.__compared__)
        return f"{self.__owner__}({inner})"


def _key(record: Record) -> tuple[Any, ...]:
    return record.__owner__, *(record.__dict__[name] for name in record.__compared__)


class Member(_Proxied):
    """Stands for a member of an Enum: equal to a member of the same name of the same class."""

    def __init__(self, owner: str, name: str, value: Any) -> None:
        self._owner, self.name, self.value = owner, name, value

    def __eq__(self, other: object) -> bool:
        return type(other) is Member and (self._owner, self.name) == (other._owner, other.name)

    def __hash__(self) -> int:
        return hash((self._owner, self.name))

    def __str__(self) -> str:
        return f"{self._owner}.{self.name}"

    def __repr__(self) -> str:
        return f"<{self}: {self.value!r}>"


class NumberMember(_Proxied, int):
    """Stands for a member of an IntEnum."""

    def __new__(cls, base: int, owner: str = "", name: str = "", value: Any = None) -> NumberMember:
        made = super().__new__(cls, base)
        made.__dict__.update(_owner=owner, name=name, value=value)
        return made


class TextMember(_Proxied, str):
    """Stands for a member of a StrEnum."""

    __slots__ = ("__dict__",)

    def __new__(cls, base: str, owner: str = "", name: str = "", value: Any = None) -> TextMember:
        made = super().__new__(cls, base)
        made.__dict__.update(_owner=owner, name=name, value=value)
        return made


PROXIED = (Named, Member, NumberMember, TextMember)


def parts_of(value: Any) -> tuple[Any, ...]:
    """What a stand-in is made of, as :class:`StandIns` takes it."""
    inside: dict[str, Any] = value.__dict__
    if type(value) is Named:
        return inside["_name"], inside["_fields"], *value
    if type(value) is Record:
        return value.__owner__, value.__compared__, tuple(inside), *inside.values()
    base = {NumberMember: int, TextMember: str}.get(type(value))
    return inside["_owner"], inside["name"], inside["value"], base and base(value)


def record_parts(value: Any, kind: Any) -> list[Any]:
    """Of an instance of a dataclass: class, fields that equality looks at, all attributes and
    their values."""
    # Not those of the class, nor those that only __init__ takes.
    fields = {n: f for n, f in kind.__dataclass_fields__.items() if f._field_type.name == "_FIELD"}
    names = dict.fromkeys([*fields, *getattr(value, "__dict__", ())])
    values = {name: getattr(value, name) for name in names if hasattr(value, name)}
    compared = tuple(name for name in values if name in fields and fields[name].compare)
    return [kind.__name__, compared, tuple(values), *values.values()]


def member_parts(value: Any, kind: type) -> tuple[Any, ...]:
    """Class, name and value of a member of an Enum, and the number or text that it is, too."""
    base: int | str | None = None
    if isinstance(value, int):
        base = int.__int__(value)
    elif isinstance(value, str):
        base = str.__str__(value)
    return kind.__name__, str(value.name), value.value, base


class StandIns:
    """Makes what is not of a type of Python's own, from names that are checked and plain data.
    Raises ValueError, TypeError and the like for what no encoder writes."""

    def named(self, name: str, fields: tuple[str, ...], *values: Any) -> Any:
        """A named tuple."""
        _check_names(name, *fields)
        if type(fields) is not tuple or len(fields) != len(values):
            raise ValueError("fields and values do not agree")
        return Named(values, name, fields)

    def record(
        self, name: str, compared: tuple[str, ...], fields: tuple[str, ...], *values: Any
    ) -> Any:
        """An instance of a dataclass."""
        _check_names(name, *fields)
        if type(compared) is not tuple or not set(compared) <= set(fields):
            raise ValueError("a field that has no value")
        return Record(name, compared, dict(zip(fields, values, strict=True)))

    def member(self, owner: str, name: str, value: Any, base: int | str | None) -> Any:
        """A member of an Enum; ``base``: as a number or text, where it is one, too."""
        _check_names(owner)
        if type(name) is not str:
            raise TypeError("a member without a name")
        if type(base) is int:
            return NumberMember(base, owner, name, value)
        return (
            TextMember(base, owner, name, value)
            if type(base) is str
            else Member(owner, name, value)
        )

    def array(self, dtype: str, shape: tuple[int, ...], *flat: Any) -> Any:
        """A numpy array as lists, a scalar as a number: numpy may be missing here."""
        if not DTYPE.fullmatch(dtype):
            raise ValueError("not a type of an array")
        size = 1
        for length in shape:
            size *= max(length, 1)
        if size > max(len(flat), _MOST_EMPTY) or len(shape) > _MOST_DIMENSIONS:
            raise ValueError("shape and values do not agree")
        rest = iter(flat)
        made = _nested(shape, rest)
        if next(rest, _END) is not _END:
            raise ValueError("shape and values do not agree")
        return made

    def live(self, number: int, name: str, specials: str, data: Any) -> Any:
        """A proxy for an object of the other side. ``data``: what of it crosses as data."""
        raise ValueError("an object that does not cross here")

    def held(self, number: int, data: Any) -> Any:
        """A list, dict or set that an object of the other side holds."""
        raise ValueError("a part of an object that does not cross here")

    def home(self, number: int) -> Any:
        """The object of this side that has this number. Raises LookupError."""
        raise LookupError("an object that was never given")

    def known(self, module: str, name: str) -> Any:
        """A type of Python's own."""
        raise ValueError("a type, which does not cross here")

    def iterator(self, open_end: bool, *items: Any) -> Iterator[Any]:
        """An iterator, read once; ``open_end``: only its beginning has crossed."""
        if type(open_end) is not bool:
            raise TypeError("an end that is neither open nor not")
        return self._yielded(open_end, items)

    def _yielded(self, open_end: bool, items: tuple[Any, ...]) -> Iterator[Any]:
        yield from items
        if open_end:
            raise self.unread()

    def unread(self) -> BaseException:
        """What is raised behind the beginning of an iterator that goes on."""
        return Unread("more of an iterator than crosses")


def _check_names(*names: str) -> None:
    """Raises ValueError for what is no name in Python, or one that Python itself uses."""
    for name in names:
        if type(name) is not str or not name.isidentifier() or name.startswith("__"):
            raise ValueError("not a name")


def _nested(shape: tuple[int, ...], items: Iterator[Any]) -> Any:
    if not shape:
        return next(items)  # StopIteration where there are too few
    return [_nested(shape[1:], items) for _ in range(shape[0])]
