"""Types of the standard library that cross as themselves, each as a row of plain parts.

Types are known by name, so that none of their modules must be loaded. A program may give a class
such a name: what crosses is the parts all the same. Bounds are those of the trusted side: a short
text can stand for a number or a range that fills the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

_MOST_DIGITS, _MOST_BITS, _MOST_ITEMS = 10_000, 1 << 16, 100_000
# By name both ways: a child must not be made to call anything else.
_FACTORIES: dict[str, type] = {
    kind.__name__: kind
    for kind in (int, float, complex, str, bytes, bool, list, tuple, dict, set, frozenset)
}


class Unfit(Exception):
    """A value of a known type that does not cross. ``str`` says why."""


class Kind(NamedTuple):
    """``parts`` of a value, and ``make``, which makes the value of them again."""

    parts: Callable[[Any], Iterable[Any]]
    make: Callable[..., Any]
    mutable: bool = False


def _decimal(text: str) -> Any:
    from decimal import Decimal

    value = Decimal(text)
    _, digits, exponent = value.as_tuple()
    if len(digits) > _MOST_DIGITS or (isinstance(exponent, int) and abs(exponent) > _MOST_DIGITS):
        raise Unfit(f"Decimal of more than {_MOST_DIGITS} digits")
    return value


def _fraction(above: int, below: int) -> Any:
    from fractions import Fraction

    if max(above.bit_length(), below.bit_length()) > _MOST_BITS:
        raise Unfit(f"Fraction of more than {_MOST_BITS} bits")
    return Fraction(above, below)


def _range(*parts: int) -> range:
    made = range(*parts)
    if made and (made[-1] - made[0]) // made.step >= _MOST_ITEMS:
        raise Unfit(f"range of more than {_MOST_ITEMS} items")
    return made


def _moment(name: str) -> Kind:
    """date, datetime or time."""

    def parts(value: Any) -> tuple[str, int]:
        from datetime import timezone

        if getattr(value, "tzinfo", None) is not None and type(value.tzinfo) is not timezone:
            raise Unfit("time of a named zone")
        return value.isoformat(), getattr(value, "fold", 0)

    def make(text: str, fold: int) -> Any:
        import datetime

        made = getattr(datetime, name).fromisoformat(text)
        return made.replace(fold=fold) if fold else made

    return Kind(parts, make)


def _timedelta(*parts: int) -> Any:
    from datetime import timedelta

    return timedelta(*parts)


def _ordered_dict(*parts: Any) -> Any:
    from collections import OrderedDict

    return OrderedDict(_pairs(parts))


def _counter(*parts: Any) -> Any:
    from collections import Counter

    return Counter(dict(_pairs(parts)))


def _in_turn(value: Any) -> list[Any]:
    return [part for pair in value.items() for part in pair]


def _pairs(parts: tuple[Any, ...]) -> Iterable[tuple[Any, Any]]:
    return zip(parts[::2], parts[1::2], strict=True)


def _defaultdict_parts(value: Any) -> list[Any]:
    factory = value.default_factory
    # One of its own crosses where functions do.
    known = isinstance(factory, type) and _FACTORIES.get(factory.__name__) is factory
    return [factory.__name__ if known else factory, *_in_turn(value)]


def _defaultdict(factory: Any, *parts: Any) -> Any:
    from collections import defaultdict

    made = _FACTORIES[factory] if isinstance(factory, str) else factory
    return defaultdict(made, _pairs(parts))


def _deque(most: int | None, *items: Any) -> Any:
    from collections import deque

    return deque(items, most)


_KEYS = Kind(list, lambda *parts: dict.fromkeys(parts).keys())
_VALUES = Kind(list, lambda *parts: dict(enumerate(parts)).values())
_ITEMS = Kind(list, lambda *parts: dict(parts).items())

NUMBERS = ("decimal.Decimal", "fractions.Fraction")
BOUNDED = ("decimal.Decimal", "fractions.Fraction", "builtins.range")
"""Those that ``make`` may refuse: whoever writes one finds out before it crosses."""
KINDS = {
    "decimal.Decimal": Kind(lambda value: (str(value),), _decimal),
    "fractions.Fraction": Kind(lambda value: (value.numerator, value.denominator), _fraction),
    "builtins.range": Kind(lambda value: (value.start, value.stop, value.step), _range),
    "builtins.slice": Kind(lambda value: (value.start, value.stop, value.step), slice),
    "datetime.date": _moment("date"),
    "datetime.datetime": _moment("datetime"),
    "datetime.time": _moment("time"),
    "datetime.timedelta": Kind(lambda v: (v.days, v.seconds, v.microseconds), _timedelta),
    "collections.deque": Kind(lambda value: (value.maxlen, *value), _deque, mutable=True),
    "collections.Counter": Kind(_in_turn, _counter, mutable=True),
    "collections.OrderedDict": Kind(_in_turn, _ordered_dict, mutable=True),
    "collections.defaultdict": Kind(_defaultdict_parts, _defaultdict, mutable=True),
    "builtins.dict_keys": _KEYS,
    "builtins.dict_values": _VALUES,
    "builtins.dict_items": _ITEMS,
    "builtins.odict_keys": _KEYS,
    "builtins.odict_values": _VALUES,
    "builtins.odict_items": _ITEMS,
}
"""By the full name of the type, which is the tag, too."""


def full_name(kind: type) -> str:
    """The name that a type has here."""
    return f"{kind.__module__}.{kind.__qualname__}"


def is_data(kind: type) -> bool:
    """Whether values of a type that is no builtin one cross as data: of these, and numpy's."""
    return full_name(kind) in KINDS or kind.__module__ == "numpy"


class Spread:
    """Refuses many numbers of one hash: in a set each would be compared with all before it."""

    _MOST = 200

    def __init__(self) -> None:
        self._seen: dict[int, set[Any]] = {}

    def let_in(self, number: Any) -> Any:
        """The number. Raises Unfit where there are too many of its hash."""
        try:
            alike = self._seen.setdefault(hash(number), set())
        except TypeError:  # a Decimal that signals: no set takes it
            return number
        alike.add(number)
        if len(alike) > self._MOST:
            raise Unfit("many numbers of one hash")
        return number
