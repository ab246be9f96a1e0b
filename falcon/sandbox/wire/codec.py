"""Plain data as JSON text and back: the only thing that crosses to or from a program.

None, bool, str, int, finite float and list are written as they are; everything else is an
object ``{"t": tag, "v": ...}``. Exact types only, because a subclass can lie about being equal;
well-known subclasses and numpy values are turned into the plain type first. Of an ``re.Match``
only its truth is passed on: a :class:`Token` stands for it. Nothing is ever unpickled,
unmarshalled or evaluated.
"""

import json
import math
from typing import Any

NODES, DEPTH, BYTES = 100_000, 60, 1 << 20
_OURS = 1 << 60  # nodes and bytes of data that is not the program's
_DEEPER = 2 * DEPTH  # what a test makes of values that a program returned may be nested deeper
_SMALL = 1 << 63


class Unserialisable(Exception):
    """A value that is not plain data, or is nested too deeply. ``str`` names its type."""


class TooLarge(Exception):
    """A value over the node or byte budget."""


class Token:
    """Stands for an ``re.Match``: true, and equal to itself alone."""

    def __repr__(self) -> str:
        return "<re.Match object>"


class Malformed(ValueError):
    """Text that :func:`encode` could not have written."""


def _refuse(text: str) -> Any:
    raise Malformed(f"{text} is not allowed")


# Bound once: a program that replaces json's functions changes nothing here.
_quote = json.encoder.encode_basestring_ascii
_of_int, _of_float = int.__repr__, float.__repr__
_to_data = json.JSONDecoder(parse_constant=_refuse).decode


class _Encoder:
    """Writes the text itself: json's encoder would touch a hundred more pages of memory, each
    of which costs a forked process a copy."""

    def __init__(self, *, budget: bool) -> None:
        self.left, self.bytes, self.depth = (
            (NODES, BYTES, DEPTH) if budget else (_OURS, _OURS, _DEEPER)
        )

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
        if kind is list:
            return self.items(value, depth)
        return self.other(value, kind, depth)

    def items(self, values: Any, depth: int) -> str:
        if len(values) > self.left:
            raise TooLarge(f"more than {NODES} values")
        below = depth + 1
        return "[" + ",".join([self.text(v, below) for v in values]) + "]"

    def other(self, value: Any, kind: type, depth: int) -> str:
        if kind is tuple:
            return _tagged("tuple", self.items(value, depth))
        if kind is dict:
            if 2 * len(value) > self.left:
                raise TooLarge(f"more than {NODES} values")
            text, below = self.text, depth + 1
            pairs = [f"[{text(k, below)},{text(v, below)}]" for k, v in value.items()]
            return _tagged("dict", "[" + ",".join(pairs) + "]")
        if kind is set or kind is frozenset:
            return _tagged(kind.__name__, self.items(list(value), depth))
        if kind is bytes or kind is bytearray:
            if len(value) > self.bytes // 2:
                raise TooLarge("more than 512 KiB of bytes")
            return _tagged(kind.__name__, _quote(value.hex()))
        if kind is complex:
            parts = _quote(_of_float(value.real)), _quote(_of_float(value.imag))
            return _tagged("complex", f"[{parts[0]},{parts[1]}]")
        return self.coerced(value, kind, depth)

    def coerced(self, value: Any, kind: type, depth: int) -> str:
        # A program can give its own class such a name; what crosses is plain data all the same.
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in ("collections.defaultdict", "collections.Counter", "collections.OrderedDict"):
            return self.text(dict(dict.items(value)), depth)  # not items() of its own
        if name == "collections.deque":
            return self.text(list(value), depth)
        if name == "re.Match" or kind is Token:
            return _tagged("token", '"re.Match"')
        if isinstance(value, tuple) and hasattr(kind, "_fields"):
            return _tagged("tuple", self.items(list(tuple.__iter__(value)), depth))
        if kind.__module__ == "numpy":
            if getattr(value, "size", 0) > self.left:
                raise TooLarge(f"more than {NODES} values")
            plain = value.tolist()
            if type(plain) is not kind:  # else it would turn into itself for ever
                return self.text(plain, depth)
        raise Unserialisable(name[:100])


def _tagged(tag: str, text: str) -> str:
    return f'{{"t":"{tag}","v":{text}}}'


def encode(value: Any, *, budget: bool = True) -> str:
    """``value`` as JSON text. ``budget=False`` is for our own data.

    Raises Unserialisable, or TooLarge when over 1e5 values or 1 MiB.
    """
    text = _Encoder(budget=budget).text(value, 0)
    if budget and len(text) > BYTES:
        raise TooLarge("more than 1 MiB")
    return text


def decode(text: str | bytes, *, budget: bool = True) -> Any:
    """Inverse of :func:`encode`. Raises Malformed for anything else, whatever it is."""
    try:
        raw = _to_data(text if isinstance(text, str) else text.decode("utf-8"))
        return _Decoder(budget=budget).walk(raw, 0)
    except Malformed:
        raise
    except Exception as fault:  # noqa: BLE001  the text is the program's: it may hold anything
        raise Malformed(f"{type(fault).__name__}: {fault}"[:200]) from None


class _Decoder:
    def __init__(self, *, budget: bool) -> None:
        self.left, self.depth = (NODES, DEPTH) if budget else (_OURS, _DEEPER)

    def walk(self, raw: Any, depth: int) -> Any:
        self.left -= 1
        if self.left < 0 or depth > self.depth:
            raise Malformed("over the budget")
        if type(raw) is list:
            return [self.walk(v, depth + 1) for v in raw]
        if type(raw) is not dict:
            return raw
        if set(raw) != {"t", "v"}:
            raise Malformed("unknown object")
        return self.tagged(raw["t"], raw["v"], depth)

    def tagged(self, tag: Any, body: Any, depth: int) -> Any:
        if tag == "dict":
            return {self.walk(k, depth + 1): self.walk(v, depth + 1) for k, v in body}
        if tag in ("tuple", "set", "frozenset"):
            make: Any = {"tuple": tuple, "set": set, "frozenset": frozenset}[tag]
            return make(self.walk(v, depth + 1) for v in body)
        if tag == "int":
            return int(body, 16)
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
        raise Malformed("unknown tag")
