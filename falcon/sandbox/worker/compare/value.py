"""FALCON's own rule: values by ==, text as contests compare it."""

import math
from decimal import Decimal, InvalidOperation
from typing import Any

_RELATIVE = Decimal("1e-6")


def same_value(expected: Any, got: Any, atol: float = 0.0) -> bool:
    """Whether plain data is equal.

    As by ==, but nan equals nan, numbers are equal across types (within ``atol`` when either is
    a float), and a tuple may stand for an expected list, not the other way round.
    """
    if isinstance(expected, bool | int | float | complex):
        return isinstance(got, bool | int | float | complex) and _same_number(expected, got, atol)
    if isinstance(expected, tuple):
        return isinstance(got, tuple) and _same_items(expected, got, atol)
    if isinstance(expected, list):
        return isinstance(got, list | tuple) and _same_items(expected, got, atol)
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
    if isinstance(expected, complex) or isinstance(got, complex):
        return bool(abs(expected - got) <= atol)
    if isinstance(expected, float) and isinstance(got, float):
        if math.isnan(expected) and math.isnan(got):
            return True
    elif not (isinstance(expected, float) or isinstance(got, float)):
        return False
    try:
        return bool(abs(expected - got) <= atol and atol > 0)
    except OverflowError:  # an int too large for a float
        return False


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def same_text(expected: str, got: str) -> bool:
    """Whether two outputs agree: once trailing blanks are gone they have equally many lines, and
    each line the same tokens, as text or as finite decimals within 1e-6 relative."""
    left, right = _lines(expected), _lines(got)
    return len(left) == len(right) and all(
        a == b or _same_tokens(a.split(), b.split()) for a, b in zip(left, right, strict=True)
    )


def _same_tokens(left: list[str], right: list[str]) -> bool:
    return len(left) == len(right) and all(
        a == b or _same_decimal(a, b) for a, b in zip(left, right, strict=True)
    )


def _same_decimal(left: str, right: str) -> bool:
    # Decimal accepts "1_0", which no contest does; long numbers would take long.
    if len(left) > 400 or len(right) > 400 or "_" in left + right:
        return False
    try:
        a, b = Decimal(left), Decimal(right)
    except InvalidOperation:
        return False
    # "1e999999" is short and costs memory.
    if not (a.is_finite() and b.is_finite()) or max(abs(a.adjusted()), abs(b.adjusted())) > 400:
        return False
    return abs(a - b) <= _RELATIVE * max(abs(a), abs(b), Decimal(0))
