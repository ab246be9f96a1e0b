"""Plain data as JSON text and back: the only thing that crosses to or from a program.

None, bool, str, int, finite float and list are written as they are; everything else is an
object ``{"t": tag, "v": ...}``. Exact types only, because a subclass can lie about being equal.
Types of the standard library cross as themselves (``library.py``), numpy values as their content;
for named tuples, dataclasses and members of an Enum there are stand-ins (``stand_ins.py``). An
iterator crosses as a copy of what it yields. Nothing is ever unpickled, unmarshalled or evaluated.

The arguments of a call may hold one object twice, and the program may change it: there mutable
objects are numbered as they come, and ``{"t": "ref", "v": number}`` stands for one seen before.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from . import library
from .stand_ins import (
    DTYPE,
    Member,
    Named,
    NumberMember,
    Record,
    StandIns,
    TextMember,
    Token,
    parts_of,
)

NODES, DEPTH, BYTES = 100_000, 60, 1 << 20
_OURS = 1 << 60  # nodes and bytes of data that is not the program's
_DEEPER = 2 * DEPTH  # what a test makes of values that a program returned may be nested deeper
_SMALL = 1 << 63
# Of an iterator, which may have no end, so many items cross; more while that takes little time.
ITEMS, ITEM_SECONDS = 1000, 0.2
_STAND_INS: dict[type, str] = {
    Named: "named", Record: "record", Member: "member", NumberMember: "member", TextMember: "member",
}  # fmt: skip
# Tags of objects without a number: no call can change them, or tell one from its equal.
_UNNUMBERED = frozenset(("tuple", "frozenset", "bytes", "complex", "int", "float", "ref"))
_STAND_IN = StandIns()


class Unserialisable(Exception):
    """A value that is not plain data, or is nested too deeply. ``str`` names its type."""


class TooLarge(Exception):
    """A value over the node or byte budget."""


class Malformed(ValueError):
    """Text that :func:`encode` could not have written."""


def _refuse(text: str) -> Any:
    raise Malformed(f"{text} is not allowed")


# Bound once: a program that replaces json's functions changes nothing here.
_quote = json.encoder.encode_basestring_ascii
_of_int, _of_float, _clock = int.__repr__, float.__repr__, time.process_time
_to_data = json.JSONDecoder(parse_constant=_refuse).decode


class _Encoder:
    """Writes the text itself: json's encoder would touch a hundred more pages of memory, each
    of which costs a forked process a copy. ``objects``: those that have a number; ``growing``:
    others get one. ``iterators``: whether they may be read."""

    def __init__(
        self,
        *,
        budget: bool,
        iterators: bool,
        objects: list[Any] | None = None,
        growing: bool = False,
    ) -> None:
        self.iterators = iterators
        self.left, self.bytes, self.depth = (
            (NODES, BYTES, DEPTH) if budget else (_OURS, _OURS, _DEEPER)
        )
        self.objects, self.growing = objects, growing
        self.numbers: dict[int, int] | None = None
        if objects or growing:
            self.numbers = {id(each): number for number, each in enumerate(objects or ())}

    def text(self, value: Any, depth: int) -> str:
        self.left -= 1
        if self.left < 0:
            raise TooLarge(f"more than {NODES} values")
        if depth > self.depth:
            raise Unserialisable(f"nested deeper than {self.depth}")
        kind = type(value)
        if value is None:
            return "null"
        if kind is bool:
            return "true" if value else "false"
        if kind is int:
            if -_SMALL < value < _SMALL:
                return _of_int(value)
            # In hexadecimal: Python refuses to write more than 4300 decimal digits.
            return _tagged("int", _quote(hex(value)))
        if kind is str:
            if len(value) > self.bytes:
                raise TooLarge("text of more than 1 MiB")
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
        if self.numbers is not None:
            known = self.numbers.get(id(value))
            if known is not None:
                return _tagged("ref", str(known))
            if self.growing and self.objects is not None:
                self.numbers[id(value)] = len(self.objects)
                self.objects.append(value)  # kept, or its id would be another object's later
        return self.content(value, kind, depth)

    def items(self, values: Any, depth: int) -> str:
        if len(values) > self.left:
            raise TooLarge(f"more than {NODES} values")
        below = depth + 1
        return "[" + ",".join([self.text(v, below) for v in values]) + "]"

    def binary(self, value: bytes | bytearray, tag: str) -> str:
        if len(value) > self.bytes // 2:
            raise TooLarge("more than 512 KiB of bytes")
        return _tagged(tag, _quote(value.hex()))

    def content(self, value: Any, kind: type, depth: int) -> str:
        """What may change, and all that is rare."""
        if kind is list:
            return self.items(value, depth)
        if kind is dict:
            if 2 * len(value) > self.left:
                raise TooLarge(f"more than {NODES} values")
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
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name not in library.KINDS:
            return self.of_class(value, kind, name, depth)
        try:
            parts = list(library.KINDS[name].parts(value))
            if name in library.BOUNDED:
                library.KINDS[name].make(*parts)
        except library.Unfit as fault:
            raise Unserialisable(str(fault)) from None
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
            return _tagged("record", self.items(_record_parts(value, kind), depth))
        if hasattr(kind, "_member_map_"):
            return _tagged("member", self.items(_member_parts(value, kind), depth))
        if kind.__module__ == "numpy" and hasattr(kind, "dtype"):
            if value.size > self.left:
                raise TooLarge(f"more than {NODES} values")
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
                length > BYTES // 2
                or left - self.left > NODES // 2
                or (len(texts) > ITEMS and _clock() - begun > ITEM_SECONDS)
            ):
                texts[0] = "true"
                break
        return _tagged("iterator", "[" + ",".join(texts) + "]")


def _record_parts(value: Any, kind: Any) -> list[Any]:
    """Class, fields that equality looks at, all attributes, and their values."""
    # Not those of the class, nor those that only __init__ takes.
    fields = {n: f for n, f in kind.__dataclass_fields__.items() if f._field_type.name == "_FIELD"}
    names = dict.fromkeys([*fields, *getattr(value, "__dict__", ())])
    values = {name: getattr(value, name) for name in names if hasattr(value, name)}
    compared = tuple(name for name in values if name in fields and fields[name].compare)
    return [kind.__name__, compared, tuple(values), *values.values()]


def _member_parts(value: Any, kind: type) -> tuple[Any, ...]:
    base: int | str | None = None
    if isinstance(value, int):
        base = int.__int__(value)
    elif isinstance(value, str):
        base = str.__str__(value)
    return kind.__name__, str(value.name), value.value, base


def _tagged(tag: str, text: str) -> str:
    return f'{{"t":"{tag}","v":{text}}}'


def encode(value: Any, *, budget: bool = True, objects: list[Any] | None = None) -> str:
    """``value`` as JSON text. ``budget=False`` is for our own data, which holds no iterators.
    References stand for ``objects`` by their numbers, but for iterators: whoever has those
    cannot read them again.

    Raises Unserialisable, or TooLarge when over 1e5 values or 1 MiB.
    """
    if objects:
        objects = [None if hasattr(each, "__next__") else each for each in objects]
    text = _Encoder(budget=budget, iterators=budget, objects=objects).text(value, 0)
    if budget and len(text) > BYTES:
        raise TooLarge("more than 1 MiB")
    return text


def encode_call(
    arguments: Sequence[Any], named: Mapping[str, Any], *, iterators: bool = False
) -> tuple[str, str, list[Any]]:
    """The arguments of a call, and the objects in them by their numbers. ``iterators``: read
    those, as nobody will need them again. Raises Unserialisable."""
    objects: list[Any] = []
    encoder = _Encoder(budget=False, iterators=iterators, objects=objects, growing=True)
    return encoder.items(arguments, 0), encoder.content(dict(named), dict, 0), objects


def contents(objects: list[Any]) -> list[str]:
    """What each object holds, empty for those that no call changes. Raises as :func:`encode`."""
    encoder = _Encoder(budget=False, iterators=True, objects=objects)
    return [
        encoder.content(each, type(each), 0) if _changes(type(each)) else "" for each in objects
    ]


def _changes(kind: type) -> bool:
    if kind in (list, dict, set, bytearray):
        return True
    known = library.KINDS.get(f"{kind.__module__}.{kind.__qualname__}")
    if known is not None:
        return known.mutable
    return hasattr(kind, "__dataclass_fields__") or kind.__qualname__ == "ndarray"


def decode(
    text: str | bytes,
    *,
    budget: bool = True,
    build: StandIns = _STAND_IN,
    objects: list[Any] | None = None,
) -> Any:
    """Inverse of :func:`encode`. Raises Malformed for anything else, whatever it is."""
    return _read(text, _Decoder(budget, build, objects))


def decode_call(
    arguments: str, named: str, build: StandIns = _STAND_IN
) -> tuple[list[Any], dict[str, Any], list[Any]]:
    """Inverse of :func:`encode_call`. Raises Malformed."""
    decoder = _Decoder(False, build, [], growing=True)
    both = _read(arguments, decoder, outer=True), _read(named, decoder, outer=True)
    assert decoder.objects is not None
    return *both, decoder.objects


def _read(text: str | bytes, decoder: "_Decoder", *, outer: bool = False) -> Any:
    try:
        raw = _to_data(text if isinstance(text, str) else text.decode("utf-8"))
        return decoder.outermost(raw) if outer else decoder.walk(raw, 0)
    except Malformed:
        raise
    except Exception as fault:  # noqa: BLE001  the text is the program's: it may hold anything
        raise Malformed(f"{type(fault).__name__}: {fault}"[:200]) from None


class _Decoder:
    """``objects``: those that references stand for; ``growing``: as they are made."""

    def __init__(
        self, budget: bool, build: StandIns, objects: list[Any] | None, *, growing: bool = False
    ) -> None:
        self.left, self.depth = (NODES, DEPTH) if budget else (_OURS, _DEEPER)
        self.build, self.objects, self.growing = build, objects, growing
        self.spread = library.Spread()

    def walk(self, raw: Any, depth: int) -> Any:
        self.left -= 1
        if self.left < 0 or depth > self.depth:
            raise Malformed("over the budget")
        if type(raw) is list:
            if self.growing:
                return self.filled([], raw, depth)
            return [self.walk(v, depth + 1) for v in raw]
        if type(raw) is not dict:
            if type(raw) is int and abs(raw) >= _SMALL:
                raise Malformed("a large integer that is not written as one")
            return raw
        if set(raw) != {"t", "v"}:
            raise Malformed("unknown object")
        tag, body = raw["t"], raw["v"]
        if not self.growing or tag in _UNNUMBERED:
            return self.tagged(tag, body, depth)
        if tag == "dict":  # what holds itself is there before its content is
            return self.filled({}, body, depth)
        assert self.objects is not None
        number = len(self.objects)
        self.objects.append(Malformed)  # its place, while it is made
        self.objects[number] = self.tagged(tag, body, depth)
        return self.objects[number]

    def filled(self, made: Any, body: Any, depth: int) -> Any:
        assert self.objects is not None
        self.objects.append(made)
        if type(made) is list:
            made += [self.walk(v, depth + 1) for v in body]
        else:
            made.update((self.walk(k, depth + 1), self.walk(v, depth + 1)) for k, v in body)
        return made

    def outermost(self, raw: Any) -> Any:
        """A list or dict of arguments, which has no number itself."""
        if type(raw) is list:
            return [self.walk(v, 1) for v in raw]
        return {self.walk(k, 1): self.walk(v, 1) for k, v in raw["v"]}

    def tagged(self, tag: Any, body: Any, depth: int) -> Any:
        if tag == "dict":
            return {self.walk(k, depth + 1): self.walk(v, depth + 1) for k, v in body}
        if tag in ("tuple", "set", "frozenset"):
            make: Any = {"tuple": tuple, "set": set, "frozenset": frozenset}[tag]
            return make(self.walk(v, depth + 1) for v in body)
        if tag == "int":
            return self.spread.let_in(int(body, 16))
        if tag == "float":
            return float(body)
        if tag == "bytes":
            return bytes.fromhex(body)
        if tag == "bytearray":
            return bytearray.fromhex(body)
        if tag == "complex":
            return complex(float(body[0]), float(body[1]))
        if tag == "token" and body == "re.Match":
            return Token()
        if tag == "ref":
            return self.referred(body)
        if type(body) is not list or type(tag) is not str:
            raise Malformed("unknown tag")
        parts = [self.walk(v, depth + 1) for v in body]
        if tag in library.KINDS:
            made = library.KINDS[tag].make(*parts)
            return self.spread.let_in(made) if tag in library.NUMBERS else made
        if tag in ("named", "record", "member", "array", "iterator"):
            return getattr(self.build, tag)(*parts)
        raise Malformed("unknown tag")

    def referred(self, number: Any) -> Any:
        known = self.objects or []
        if type(number) is not int or not 0 <= number < len(known) or known[number] is Malformed:
            raise Malformed("a reference to nothing")
        return known[number]
