"""Writes plain data as the text that crosses; ``codec.py`` says which and reads it again."""

import json
import math
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from . import library
from .stand_ins import (
    DTYPE,
    Member,
    Named,
    NumberMember,
    Record,
    TextMember,
    Token,
    member_parts,
    parts_of,
    record_parts,
)

NODES, DEPTH, BYTES = 100_000, 60, 1 << 20
OURS = 1 << 60  # nodes and bytes of data that is not the program's
DEEPER = 2 * DEPTH  # what a test makes of values that a program returned may be nested deeper
SMALL = 1 << 63
ROOMIEST = 11
_LENGTH = re.compile(r"(?<![\w.])(?:(\d[\d_]{4,7})|(\d{1,3})\s?\*\*\s?(\d)|(\d)e(\d))(?![\w.])")
# Of an iterator, which may have no end, so many items cross; more while that takes little time.
ITEMS, ITEM_SECONDS = 1000, 0.2
CONTAINERS = (list, dict, set, bytearray)
_STAND_INS: dict[type, str] = {
    Named: "named", Record: "record", Member: "member", NumberMember: "member", TextMember: "member",
}  # fmt: skip
LiveText = Callable[["DataEncoder", Any, int], str | None]
"""What crosses in the place of a value that is no builtin type's; None where its data crosses."""
# Bound once: a program that replaces json's functions changes nothing here.
_quote = json.encoder.encode_basestring_ascii
_of_int, _of_float, _clock = int.__repr__, float.__repr__, time.process_time


def room_for(texts: Iterable[str]) -> int:
    """How often the usual budget a result may take in tests of these texts: they write long values
    out, or name the length, as ``f(150000)`` and ``f(10 ** 6)`` do."""
    size = 0
    for text in texts:
        size = max(size, len(text))
        for whole, base, power, digit, zeros in _LENGTH.findall(text[:BYTES]):
            size = max(size, int(whole or 0), int(base or 0) ** int(power or 0))
            size = max(size, int(digit or 0) * 10 ** int(zeros or 0))
    return min(ROOMIEST, 1 + 4 * size // NODES)


class Unserialisable(Exception):
    """A value that is not plain data, or is nested too deeply. ``str`` names its type."""


class TooLarge(Exception):
    """A value over the node or byte budget."""


class DataEncoder:
    """Writes the text itself: json's encoder would touch a hundred more pages of memory, each
    of which costs a forked process a copy. ``objects``: those that have a number; ``growing``:
    others get one. ``iterators``: whether they may be read. ``room``: how often the usual budget."""

    def __init__(
        self,
        *,
        budget: bool,
        iterators: bool,
        objects: list[Any] | None = None,
        growing: bool = False,
        live: LiveText | None = None,
        room: int = 1,
    ) -> None:
        self.iterators, self.live, self.room = iterators, live, room
        self.spread: library.Spread | None = None
        self.left, self.bytes, self.depth = (
            (room * NODES, room * BYTES, DEPTH) if budget else (OURS, OURS, DEEPER)
        )
        self.objects, self.growing = objects, growing
        self.numbers: dict[int, int] | None = None
        if objects or growing:
            self.numbers = {id(each): number for number, each in enumerate(objects or ())}

    def text(self, value: Any, depth: int) -> str:
        self.left -= 1
        if self.left < 0:
            raise TooLarge(f"more than {self.room * NODES} values")
        if depth > self.depth:
            raise Unserialisable(f"nested deeper than {self.depth}")
        kind = type(value)
        if value is None:
            return "null"
        if kind is bool:
            return "true" if value else "false"
        if kind is int:
            if -SMALL < value < SMALL:
                return _of_int(value)
            try:
                self.let_in(value)
            except library.Unfit as fault:
                raise Unserialisable(str(fault)) from None
            # In hexadecimal: Python refuses to write more than 4300 decimal digits.
            return _tagged("int", _quote(hex(value)))
        if kind is str:
            if len(value) > self.bytes:
                raise TooLarge(f"text of more than {self.room} MiB")
            return _quote(value)
        if kind is float:
            number = _of_float(value)
            return number if math.isfinite(value) else _tagged("float", _quote(number))
        if kind is list and self.numbers is None:
            return self.items(value, depth)
        if kind is tuple:
            return _tagged("tuple", self.items(value, depth))
        if kind is frozenset:
            return _tagged("frozenset", self.items(list(value), depth))
        if kind is bytes:
            return self.binary(value, "bytes")
        if kind is complex:
            parts = _quote(_of_float(value.real)), _quote(_of_float(value.imag))
            return _tagged("complex", f"[{parts[0]},{parts[1]}]")
        if self.live is not None and kind not in CONTAINERS:
            instead = self.live(self, value, depth)
            if instead is not None:
                return instead
        if self.numbers is not None:
            known = self.numbers.get(id(value))
            if known is not None:
                return _tagged("ref", str(known))
            if self.growing and self.objects is not None:
                self.numbers[id(value)] = len(self.objects)
                self.objects.append(value)  # kept, or its id would be another object's later
        return self.content(value, kind, depth)

    def let_in(self, number: Any) -> None:
        """Raises Unfit where there are too many numbers of one hash."""
        self.spread = self.spread or library.Spread()
        self.spread.let_in(number)

    def items(self, values: Any, depth: int) -> str:
        if len(values) > self.left:
            raise TooLarge(f"more than {self.room * NODES} values")
        below = depth + 1
        return "[" + ",".join([self.text(v, below) for v in values]) + "]"

    def binary(self, value: bytes | bytearray, tag: str) -> str:
        if len(value) > self.bytes // 2:
            raise TooLarge(f"more than {512 * self.room} KiB of bytes")
        return _tagged(tag, _quote(value.hex()))

    def content(self, value: Any, kind: type, depth: int) -> str:
        """What may change, and all that is rare."""
        if kind is list:
            return self.items(value, depth)
        if kind is dict:
            if 2 * len(value) > self.left:
                raise TooLarge(f"more than {self.room * NODES} values")
            text, below = self.text, depth + 1
            pairs = [f"[{text(k, below)},{text(v, below)}]" for k, v in value.items()]
            return _tagged("dict", "[" + ",".join(pairs) + "]")
        if kind is set:
            return _tagged("set", self.items(list(value), depth))
        if kind is bytearray:
            return self.binary(value, "bytearray")
        if kind in _STAND_INS:
            return _tagged(_STAND_INS[kind], self.items(parts_of(value), depth))
        # A program may give its own class such a name; what crosses is plain data all the same.
        name = library.full_name(kind)
        if name not in library.KINDS:
            return self.of_class(value, kind, name, depth)
        try:
            parts = list(library.KINDS[name].parts(value))
            if name in library.BOUNDED:
                library.KINDS[name].make(*parts)
            if name in library.NUMBERS:
                self.let_in(value)
        except library.Unfit as fault:
            raise Unserialisable(str(fault)) from None
        if (
            name == "collections.defaultdict"
            and callable(parts[0])
            and not (self.live or self.growing)
        ):
            parts[0] = None  # equal without it
        return _tagged(name, self.items(parts, depth))

    def of_class(self, value: Any, kind: type, name: str, depth: int) -> str:
        """By what Python knows such a class by."""
        if name == "re.Match" or kind is Token:
            return _tagged("token", '"re.Match"')
        if isinstance(value, tuple) and hasattr(kind, "_fields"):
            fields, items = tuple(kind._fields), tuple(tuple.__iter__(value))
            if len(fields) != len(items):
                return self.text(items, depth)
            return _tagged("named", self.items((kind.__name__, fields, *items), depth))
        if hasattr(kind, "__dataclass_fields__"):
            return _tagged("record", self.items(record_parts(value, kind), depth))
        if hasattr(kind, "_member_map_"):
            return _tagged("member", self.items(member_parts(value, kind), depth))
        if kind.__module__ == "numpy" and hasattr(kind, "dtype"):
            if value.size > self.left:
                raise TooLarge(f"more than {self.room * NODES} values")
            if DTYPE.fullmatch(value.dtype.str):
                flat = value.__array__().ravel().tolist()  # a matrix has no flat form
                return _tagged("array", self.items((value.dtype.str, value.shape, *flat), depth))
        elif hasattr(kind, "__next__") and hasattr(kind, "__iter__"):
            return self.iterator(value, depth)
        raise Unserialisable(name[:100])

    def iterator(self, values: Any, depth: int) -> str:
        """A copy of what it yields, and first whether it goes on after that. What a test passes
        on crosses as a whole."""
        if not self.iterators:
            raise Unserialisable("iterator, which can be read once only")
        texts = ["false"]
        length, begun, left = 0, _clock(), self.left
        for value in values:
            texts.append(self.text(value, depth + 1))
            length += len(texts[-1])
            if self.growing:
                if len(texts) > 10 * NODES:
                    raise Unserialisable("iterator without end")
            elif (
                length > self.room * BYTES // 2
                or left - self.left > self.room * NODES // 2
                or (len(texts) > ITEMS and _clock() - begun > ITEM_SECONDS)
            ):
                texts[0] = "true"
                break
        return _tagged("iterator", "[" + ",".join(texts) + "]")


def _tagged(tag: str, text: str) -> str:
    return f'{{"t":"{tag}","v":{text}}}'
