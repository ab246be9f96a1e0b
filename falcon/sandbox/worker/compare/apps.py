"""The rule of APPS's checker (Hendrycks et al. 2021), step by step in its order.

Its last step for printed output, which compares sets of tokens whatever their order, lets wrong
programs pass and has a switch here (``unordered``). So does its step that takes the first item of
an expected list for the list (``strict``), which scores have and rewards do not. Plain data only.
"""

import math
from typing import Any

from .value import BLANKS


def same_output(expected: str, got: str, *, unordered: bool) -> bool:
    """Whether printed text counts as right."""
    if got.strip() == expected.strip():
        return True
    left, right = _lines(expected), _lines(got)
    if left == right or _close(left, right):
        return True
    if not unordered:
        return False
    numbers = _rounded(left)
    return _sets(left) == _sets(right) or (numbers is not None and numbers == _rounded(right))


def _lines(text: str) -> list[str]:
    """Lines without blanks at their ends, empty ones left out."""
    return [line for line in (line.strip() for line in text.split("\n")) if line]


def _close(expected: list[str], got: list[str]) -> bool:
    """numpy.allclose of lines that are all a number, as it is called there."""
    if len(expected) != len(got):
        return False
    try:
        pairs = [(float(a), float(b)) for a, b in zip(expected, got, strict=True)]
    except ValueError:
        return False
    return all(
        a == b or (math.isfinite(a) and abs(b - a) <= 1e-8 + 1e-5 * abs(a)) for a, b in pairs
    )


def _sets(lines: list[str]) -> set[frozenset[str]]:
    return {frozenset(line.split()) for line in lines}


def _rounded(lines: list[str]) -> set[frozenset[float]] | None:
    """Token sets of numbers to three digits; None when some token is no number."""
    try:
        return {frozenset(round(float(token), 3) for token in line.split()) for line in lines}
    except (ValueError, OverflowError):
        return None


def full_lines(text: str) -> str:
    """The lines that are not blank."""
    return "\n".join(line for line in text.split("\n") if line.strip(BLANKS))


def same_value(expected: Any, got: Any, *, strict: bool = False) -> bool:
    """Whether a returned value is what is expected, or the first item of that.

    ``strict``: the first item only where it is the only one. Files wrap a value in a list, and
    nothing in them says whether they do. Tuples are lists at every depth then: the checker sees to
    the first two alone.
    """
    if strict:
        got = _lists(got)
    if isinstance(got, tuple):
        got = list(got)
    wanted = [expected]
    if isinstance(expected, list) and expected and not (strict and len(expected) > 1):
        wanted.append(expected[0])
    if any(_equal(each, got) for each in wanted):
        return True
    # Expected values come from JSON, which has no tuples.
    if isinstance(got, list) and got and isinstance(got[0], tuple):
        got = [list(each) if isinstance(each, tuple) else each for each in got]
        return any(_equal(each, got) for each in wanted)
    return False


def _lists(value: Any) -> Any:
    return [_lists(each) for each in value] if isinstance(value, list | tuple) else value


def _equal(expected: Any, got: Any) -> bool:
    return bool(expected == got or _int_keys(expected) == _int_keys(got))


def _int_keys(value: Any) -> Any:
    """A dict with its keys as numbers: JSON has turned them into text."""
    if not isinstance(value, dict):
        return value
    try:
        return {int(key): each for key, each in value.items()}
    except (TypeError, ValueError):
        return value
