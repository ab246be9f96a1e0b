"""Plain data as JSON text and back: the only thing that crosses to or from a program.

None, bool, str, int, finite float and list are themselves; everything else is an object
``{"t": tag, "v": ...}``. Exact types only, because a subclass can lie about being equal;
well-known subclasses and numpy values are turned into the plain type first. Nothing is
ever unpickled, unmarshalled or evaluated.
"""

from __future__ import annotations

import json
import math
from typing import Any

NODES, DEPTH, BYTES = 100_000, 60, 1 << 20
_SMALL = 1 << 63


class Unserialisable(Exception):
    """A value that is not plain data, or is nested too deeply. ``str`` names its type."""


class TooLarge(Exception):
    """A value over the node or byte budget."""


class Malformed(ValueError):
    """Text that :func:`encode` could not have written."""


def _refuse(text: str) -> Any:
    raise Malformed(f"{text} is not allowed")


# Bound once: a program that replaces json's functions changes nothing here.
_to_text = json.JSONEncoder(allow_nan=False).encode
_to_data = json.JSONDecoder(parse_constant=_refuse).decode


class _Encoder:
    def __init__(self, nodes: int) -> None:
        self.left = nodes

    def walk(self, value: Any, depth: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise TooLarge(f"more than {NODES} values")
        if depth > DEPTH:
            raise Unserialisable(f"nested deeper than {DEPTH}")
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            return value if -_SMALL < value < _SMALL else {"t": "int", "v": hex(value)}
        if kind is str:
            if len(value) > BYTES:
                raise TooLarge("text of more than 1 MiB")
            return value
        if kind is float:
            return value if math.isfinite(value) else {"t": "float", "v": repr(value)}
        if kind is list:
            return self.items(value, depth)
        return self.tagged(value, kind, depth)

    def items(self, values: Any, depth: int) -> list[Any]:
        if len(values) > self.left:
            raise TooLarge(f"more than {NODES} values")
        return [self.walk(v, depth + 1) for v in values]

    def tagged(self, value: Any, kind: type, depth: int) -> Any:
        if kind is tuple:
            return {"t": "tuple", "v": self.items(value, depth)}
        if kind is dict:
            if 2 * len(value) > self.left:
                raise TooLarge(f"more than {NODES} values")
            walk = self.walk
            pairs = [[walk(k, depth + 1), walk(v, depth + 1)] for k, v in value.items()]
            return {"t": "dict", "v": pairs}
        if kind is set or kind is frozenset:
            return {"t": kind.__name__, "v": self.items(list(value), depth)}
        if kind is bytes or kind is bytearray:
            if len(value) > BYTES // 2:
                raise TooLarge("more than 512 KiB of bytes")
            return {"t": kind.__name__, "v": value.hex()}
        if kind is complex:
            return {"t": "complex", "v": [repr(value.real), repr(value.imag)]}
        return self.coerced(value, kind, depth)

    def coerced(self, value: Any, kind: type, depth: int) -> Any:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in ("collections.defaultdict", "collections.Counter", "collections.OrderedDict"):
            return self.walk(dict(dict.items(value)), depth)
        if name == "collections.deque":
            return self.walk(list(value), depth)
        if isinstance(value, tuple) and hasattr(kind, "_fields"):
            return {"t": "tuple", "v": self.items(list(tuple.__iter__(value)), depth)}
        if kind.__module__ == "numpy":
            if getattr(value, "size", 0) > self.left:
                raise TooLarge(f"more than {NODES} values")
            plain = value.tolist()
            if type(plain) is not kind:
                return self.walk(plain, depth)
        raise Unserialisable(name[:100])


def encode(value: Any, *, budget: bool = True) -> str:
    """``value`` as JSON text. ``budget`` False is for our own data.

    Raises Unserialisable, or TooLarge when over 1e5 values or 1 MiB.
    """
    text = _to_text(_Encoder(NODES if budget else 1 << 60).walk(value, 0))
    if budget and len(text) > BYTES:
        raise TooLarge("more than 1 MiB")
    return text


def decode(text: str | bytes, *, budget: bool = True) -> Any:
    """Inverse of :func:`encode`. Raises Malformed for anything else, whatever it is."""
    try:
        raw = _to_data(text if isinstance(text, str) else text.decode("utf-8"))
        return (_Decoder(NODES, DEPTH) if budget else _Decoder(1 << 60, DEPTH + 2)).walk(raw, 0)
    except Malformed:
        raise
    except (ValueError, RecursionError, TypeError, KeyError, OverflowError, MemoryError) as fault:
        raise Malformed(f"{type(fault).__name__}: {fault}"[:200]) from None


class _Decoder:
    def __init__(self, nodes: int, depth: int) -> None:
        self.left, self.deepest = nodes, depth

    def walk(self, raw: Any, depth: int) -> Any:
        self.left -= 1
        if self.left < 0 or depth > self.deepest:
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
        raise Malformed("unknown tag")
