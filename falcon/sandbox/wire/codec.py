"""Plain data as JSON text and back: the only thing that crosses to or from a program.

None, bool, str, int, finite float and list are written as they are; everything else is an
object ``{"t": tag, "v": ...}``. Exact types only, because a subclass can lie about being equal.
Types of the standard library cross as themselves (``library.py``), numpy values as their content;
for named tuples, dataclasses and members of an Enum there are stand-ins (``stand_ins.py``). An
iterator crosses as a copy of what it yields. For anything else a side may give the other a proxy
(``live.py``). Nothing is ever unpickled, unmarshalled or evaluated.

The arguments of a call may hold one object twice, and the program may change it: there mutable
objects are numbered as they come, and ``{"t": "ref", "v": number}`` stands for one seen before.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from . import library
from .encoder import (
    BYTES,
    CONTAINERS,
    DEEPER,
    DEPTH,
    ITEMS,
    NODES,
    OURS,
    ROOMIEST,
    SMALL,
    DataEncoder,
    LiveText,
    TooLarge,
    Unserialisable,
    room_for,
)
from .stand_ins import StandIns, Token

__all__ = [
    "BYTES", "ITEMS", "NODES", "ROOMIEST", "LiveText", "Malformed", "TooLarge", "Unserialisable",
    "contents", "decode", "decode_call", "encode", "encode_call", "room_for",
]  # fmt: skip
# Tags of objects without a number: no call can change them, or tell one from its equal.
_UNNUMBERED = frozenset(
    ("tuple", "frozenset", "bytes", "complex", "int", "float", "ref", "live", "home", "known", "held")
)  # fmt: skip
_STAND_IN = StandIns()


class Malformed(ValueError):
    """Text that :func:`encode` could not have written."""


def _refuse(text: str) -> Any:
    raise Malformed(f"{text} is not allowed")


# Bound once: a program that replaces json's functions changes nothing here.
_to_data = json.JSONDecoder(parse_constant=_refuse).decode


def encode(
    value: Any,
    *,
    budget: bool = True,
    objects: list[Any] | None = None,
    live: LiveText | None = None,
    room: int = 1,
) -> str:
    """``value`` as JSON text. ``budget=False`` is for our own data, which holds no iterators.
    References stand for ``objects`` by their numbers, but for iterators: whoever has those
    cannot read them again.

    Raises Unserialisable, or TooLarge when over ``room`` times 1e5 values or 1 MiB.
    """
    if objects:
        objects = [None if hasattr(each, "__next__") else each for each in objects]
    text = DataEncoder(budget=budget, iterators=budget, objects=objects, live=live, room=room).text(
        value, 0
    )
    if budget and len(text) > room * BYTES:
        raise TooLarge(f"more than {room} MiB")
    return text


def encode_call(
    arguments: Sequence[Any],
    named: Mapping[str, Any],
    *,
    iterators: bool = False,
    live: LiveText | None = None,
) -> tuple[str, str, list[Any]]:
    """The arguments of a call, and the objects in them by their numbers. ``iterators``: read
    those, as nobody will need them again. Raises Unserialisable."""
    objects: list[Any] = []
    encoder = DataEncoder(
        budget=False, iterators=iterators, objects=objects, growing=True, live=live
    )
    return encoder.items(arguments, 0), encoder.content(dict(named), dict, 0), objects


def contents(objects: list[Any], live: LiveText | None = None) -> list[str]:
    """What each object holds, empty for those that no call changes. Raises as :func:`encode`."""
    encoder = DataEncoder(budget=False, iterators=True, objects=objects, live=live)
    return [
        encoder.content(each, type(each), 0) if _changes(type(each)) else "" for each in objects
    ]


def _changes(kind: type) -> bool:
    if kind in CONTAINERS:
        return True
    known = library.KINDS.get(library.full_name(kind))
    if known is not None:
        return known.mutable
    return hasattr(kind, "__dataclass_fields__") or kind.__qualname__ == "ndarray"


def decode(
    text: str | bytes,
    *,
    budget: bool = True,
    build: StandIns = _STAND_IN,
    objects: list[Any] | None = None,
    room: int = 1,
) -> Any:
    """Inverse of :func:`encode`. Raises Malformed for anything else, whatever it is."""
    return _read(text, _Decoder(budget, build, objects, room=room))


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
        self,
        budget: bool,
        build: StandIns,
        objects: list[Any] | None,
        *,
        growing: bool = False,
        room: int = 1,
    ) -> None:
        self.left, self.depth = (room * NODES, DEPTH) if budget else (OURS, DEEPER)
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
            if type(raw) is int and abs(raw) >= SMALL:
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
        if tag == "home":
            return self.build.home(body)
        if type(body) is not list or type(tag) is not str:
            raise Malformed("unknown tag")
        parts = [self.walk(v, depth + 1) for v in body]
        if tag in library.KINDS:
            made = library.KINDS[tag].make(*parts)
            return self.spread.let_in(made) if tag in library.NUMBERS else made
        if tag in ("named", "record", "member", "array", "iterator", "live", "known", "held"):
            return getattr(self.build, tag)(*parts)
        raise Malformed("unknown tag")

    def referred(self, number: Any) -> Any:
        known = self.objects or []
        if type(number) is not int or not 0 <= number < len(known) or known[number] is Malformed:
            raise Malformed("a reference to nothing")
        return known[number]
