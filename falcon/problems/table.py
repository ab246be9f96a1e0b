"""Problems as a Parquet file: what the prepare stage hands to all others.

Columns for people and checks, and the whole problem as JSON in ``row``, the only column that is
read back. The bytes depend on the problems only, not on time or machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from falcon.errors import UserError
from falcon.files import replaced_file
from falcon.problems.problem import Problem

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("id", "source", "split", "difficulty", "entry_point", "statement", "row")
_HINT = "Make it anew with `falcon stage prepare`."


def _row(problem: Problem) -> str:
    """The problem as JSON. Raises UserError for values that JSON does not carry unchanged."""
    try:
        text = json.dumps(problem.model_dump(), sort_keys=True, allow_nan=False)
        # JSON has no tuples, sets or integer keys: what does not come back equal is refused.
        same = Problem.model_validate(json.loads(text)) == problem
    except (TypeError, ValueError):
        same = False
    if not same:
        raise UserError(
            f"Problem `{problem.id}`: its tests hold values that JSON cannot carry.",
            hint="Use numbers, text, booleans, null, lists and objects with text keys.",
        )
    return text


def _table(problems: Iterable[Problem]) -> pa.Table:
    import pyarrow as pa

    rows = [[*(str(getattr(p, name)) for name in COLUMNS[:-1]), _row(p)] for p in problems]
    columns = {
        name: [row[i] for row in rows] for i, name in enumerate(COLUMNS)
    }  # also without rows
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def write_problems(path: Path, problems: Iterable[Problem]) -> None:
    """Write problems, in order, to a Parquet file that appears whole or not at all.

    Equal problems give equal bytes. Raises UserError for a problem JSON cannot carry.
    """
    import pyarrow.parquet as pq

    table = _table(problems)
    with replaced_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", use_dictionary=False)


def read_problems(path: Path) -> list[Problem]:
    """The problems of a file that :func:`write_problems` wrote, in order.

    Raises UserError when it is absent, damaged or another kind of file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # From bytes: given a folder, read_table would join all Parquet files in it.
        table = pq.read_table(pa.BufferReader(path.read_bytes()))
    except FileNotFoundError:
        raise UserError(f"{path} is not there.", hint=_HINT) from None
    except (pa.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: not a whole Parquet file ({reason}).", hint=_HINT) from None
    if tuple(table.column_names) != COLUMNS:
        raise UserError(f"{path}: not a file of problems (other columns).", hint=_HINT)
    problems = []
    for number, text in enumerate(table.column("row").to_pylist(), start=1):
        try:
            problems.append(Problem.model_validate(json.loads(text)))
        except (ValidationError, ValueError, TypeError):
            raise UserError(f"{path}, row {number}: not a problem.", hint=_HINT) from None
    return problems
