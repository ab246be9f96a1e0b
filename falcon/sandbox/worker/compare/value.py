"""FALCON's own rule: values by ==, text as contests compare it."""

import math
import re
from collections import deque
from decimal import Decimal, InvalidOperation
from numbers import Number
from typing import Any

_RELATIVE, _ABSOLUTE = Decimal("1e-6"), Decimal("1e-9")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_ZEROS = re.compile(r"[+-]?0[0-9]")  # a bit string, a date or a time: digits that are text
BLANKS = " \t\r\f\v"  # those of ASCII: str.split takes more for blanks, no judge does
_TOKEN = re.compile(f"[^{BLANKS}]+")


def same_value(expected: Any, got: Any, atol: float = 0.0) -> bool:
    """Whether plain data is equal.

    As by ==, but nan equals nan, numbers are equal across types (within ``atol`` when either is
    a float), and a tuple or deque may stand for an expected list, not the other way round.
    """
    if isinstance(expected, bool | int | float | complex):
        return isinstance(got, Number) and _same_number(expected, got, atol)
    if isinstance(expected, tuple):
        return isinstance(got, tuple) and _same_items(expected, got, atol)
    if isinstance(expected, list):
        return isinstance(got, list | tuple | deque) and _same_items(expected, got, atol)
    if isinstance(expected, dict):
        if not isinstance(got, dict) or len(expected) != len(got):
            return False
        return all(k in got and same_value(v, got[k], atol) for k, v in expected.items())
    return bool(expected == got)


def _same_items(expected: Any, got: Any, atol: float) -> bool:
    if len(expected) != len(got):
        return False
    return all(same_value(e, g, atol) for e, g in zip(expected, got, strict=True))


def _same_number(expected: Any, got: Any, atol: float) -> bool:
    if expected == got:
        return True
    if isinstance(expected, float) and isinstance(got, float):
        if math.isnan(expected) and math.isnan(got):
            return True
    elif not (isinstance(expected, float | complex) or isinstance(got, float | complex)):
        return False
    try:
        return bool(abs(expected - got) <= atol and atol > 0)
    # An int too large for a float, parts too large for their distance, a Decimal and a float.
    except (OverflowError, TypeError):
        return False


def _lines(text: str) -> list[str]:
    lines = [line.rstrip(BLANKS) for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def same_text(expected: str, got: str) -> bool:
    """Whether two outputs agree: line by line and token by token, whatever blanks are between.

    Trailing blanks and empty lines at the end count for nothing; blanks before the first token
    count where an expected line has some, as in a drawing. Tokens agree as text, as integers of
    the same value, or as finite decimals (:func:`_same_number_text`).
    """
    left, right = _lines(expected), _lines(got)
    if len(left) != len(right):
        return False
    drawn = any(map(_indent, left))
    return all(
        a == b or ((not drawn or _indent(a) == _indent(b)) and _same_tokens(a, b))
        for a, b in zip(left, right, strict=True)
    )


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(BLANKS))]


def _same_tokens(expected: str, got: str) -> bool:
    left, right = _TOKEN.findall(expected), _TOKEN.findall(got)
    return len(left) == len(right) and all(
        a == b or _same_number_text(a, b) for a, b in zip(left, right, strict=True)
    )


def _same_number_text(expected: str, got: str) -> bool:
    """Two integers: of the same value. Else decimals: within 1e-6 of an expected integer; within
    1e-6 relative, or 1e-9, of another number. What begins with needless zeros is no number."""
    # Decimal accepts "1_0" and digits of other scripts, which no contest does; long numbers would
    # take long.
    both = expected + got
    if len(expected) > 400 or len(got) > 400 or "_" in both or not both.isascii():
        return False
    if _ZEROS.match(expected) or _ZEROS.match(got):
        return False
    if _INTEGER.fullmatch(expected) and _INTEGER.fullmatch(got):
        return int(expected) == int(got)
    try:
        a, b = Decimal(expected), Decimal(got)
    except InvalidOperation:
        return False
    # "1e999999" is short and costs memory.
    if not (a.is_finite() and b.is_finite()) or max(abs(a.adjusted()), abs(b.adjusted())) > 400:
        return False
    if _INTEGER.fullmatch(expected):
        return abs(a - b) <= _RELATIVE
    return abs(a - b) <= max(_ABSOLUTE, _RELATIVE * max(abs(a), abs(b)))
