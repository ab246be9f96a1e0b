"""Problems in FALCON's own form: one ``Problem`` a row."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from falcon.problems.fault import ProblemFault, validation_faults
from falcon.problems.problem import Problem
from falcon.problems.rows import Row

Parsed = tuple[list[tuple[int, Problem]], list[ProblemFault]]
"""Problems with their row numbers, and the faults of the rows that are none."""


def parse_own(file: Path, rows: list[Row]) -> Parsed:
    """Validate each row as a ``Problem``."""
    problems: list[tuple[int, Problem]] = []
    faults: list[ProblemFault] = []
    for number, row in rows:
        try:
            problems.append((number, Problem.model_validate(row)))
        except ValidationError as fault:
            faults += validation_faults(file, number, fault)
    return problems, faults
