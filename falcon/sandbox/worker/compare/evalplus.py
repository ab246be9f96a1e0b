"""The rule of EvalPlus (Liu et al. 2023): a returned value beside that of the reference.

Equality first; floats within a tolerance; and exceptions for a few tasks, named by the rule.
Plain data only, so that numpy is not needed here. ``expected`` is what the reference returned,
``arguments`` are the inputs of the call.
"""

import math
from collections.abc import Callable
from typing import Any

_RELATIVE = 1e-7
_FLOATS = 1e-6


def same(rule: str, expected: Any, got: Any, arguments: list[Any], atol: float) -> bool:
    """Whether EvalPlus counts the value as right. A comparison that raises counts as wrong."""
    try:
        if rule == "evalplus:root":
            return bool(abs(_polynomial(arguments[0], got)) <= atol)
        right = _exactly(rule, expected, got, arguments, atol)
        # Lists of floats only: EvalPlus leaves mixed ones to exact equality.
        if atol == 0 and _floats(expected):
            atol = _FLOATS
        if right or atol == 0:
            return right
        return type(got) is type(expected) and _close(got, expected, atol)
    except Exception:  # noqa: BLE001  as there: whatever a comparison raises is a failed test
        return False


def _exactly(rule: str, expected: Any, got: Any, arguments: list[Any], atol: float) -> bool:
    equal = bool(expected == got)
    special: dict[str, Callable[[], bool]] = {
        "evalplus:any": lambda: True,
        "evalplus:zero": lambda: equal or bool(got == 0),
        "evalplus:pyramid": lambda: equal or abs(got - _pyramid(*arguments)) <= atol,
        "evalplus:digits": lambda: equal or bool(got == _digits(*arguments)),
        "evalplus:set": lambda: set(got) == set(expected),
        # Whether there is a value at all, which is all that came back (see messages.PRESENCE).
        "evalplus:not-none": lambda: equal,
    }
    return special[rule]() if rule in special else equal


def _floats(value: Any) -> bool:
    if isinstance(value, list | tuple) and value:
        return all(isinstance(each, float) for each in value)
    return isinstance(value, float)


def _close(got: Any, expected: Any, atol: float) -> bool:
    """numpy.allclose with rtol 1e-7 on numbers and equally nested lists of them."""
    if isinstance(expected, list | tuple):
        if not isinstance(got, list | tuple) or len(got) != len(expected):
            return False
        return all(_close(g, e, atol) for g, e in zip(got, expected, strict=True))
    numbers = (bool, int, float, complex)
    if not (isinstance(got, numbers) and isinstance(expected, numbers)):
        return False
    return bool(got == expected or abs(got - expected) <= atol + _RELATIVE * abs(expected))


def _pyramid(base: float, height: float) -> int:
    """Surface of a square pyramid, ``height`` read as the distance of the apex."""
    return round(base**2 + 2 * base * math.sqrt((base / 2) ** 2 + height**2))


def _digits(a: int, b: int) -> int:
    """Sum of the differences of the digits, the shorter number filled up with zeros."""
    left, right = str(a), str(b)
    width = max(len(left), len(right))
    pairs = zip(left.zfill(width), right.zfill(width), strict=True)
    return sum(abs(int(x) - int(y)) for x, y in pairs)


def _polynomial(coefficients: list[float], x: float) -> float:
    return sum(c * math.pow(x, power) for power, c in enumerate(coefficients))
