"""Expectations: the words in which a stage says what must hold of its results.

Each stage's ``expectations`` are in its own file, so that a stricter check of one makes no other
run again. A bound ignores missing values, so a number that may be missing is checked for presence.
"""

from collections.abc import Sequence
from typing import Any

Suites = dict[str, list[Any]]

ROW_IDS = {
    "problems": ("id",),
    "memory": ("key", "problem_id"),
    "demonstrations": ("key", "problem_id"),
    "rollouts": ("problem_id", "sample"),
    "curves": ("step",),
    "samples": ("suite", "policy", "problem_id", "sample"),
    "reasons": ("name",),
}
"""Columns that name a row of each table. ``facts`` has one row: where a fact is about several
things, its value names those that are wrong, and is empty when none is."""

NONE = [""]


def expect(kind: str, severity: str = "critical", **values: Any) -> Any:
    """Great Expectations' ``ExpectKIND`` with these values."""
    import great_expectations.expectations as gxe

    return getattr(gxe, f"Expect{kind}")(severity=severity, **values)


def present(column: str) -> Any:
    """No value of the column is missing."""
    return expect("ColumnValuesToNotBeNull", column=column)


def between(column: str, low: float | None, high: float | None, severity: str = "critical") -> Any:
    """Values of the column lie in a range; None: no bound."""
    kind = "ColumnValuesToBeBetween"
    return expect(kind, severity, column=column, min_value=low, max_value=high)


def among(column: str, values: Sequence[Any], severity: str = "critical") -> Any:
    """Values of the column are some of these."""
    return expect("ColumnValuesToBeInSet", severity, column=column, value_set=list(values))


def rows(least: int = 1) -> Any:
    """The table has so many rows at least."""
    return expect("TableRowCountToBeBetween", min_value=least)


def unique(column: str) -> Any:
    """No value of the column comes twice."""
    return expect("ColumnValuesToBeUnique", column=column)
