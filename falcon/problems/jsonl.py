"""Problems in FALCON's own form: one ``Problem`` a row. A source: ``jsonl:PATH``."""

from typing import Any

from falcon.problems.problem import Problem


def read_jsonl(row: dict[str, Any]) -> Problem:
    """The row as it is. Raises ValidationError."""
    return Problem.model_validate(row)
