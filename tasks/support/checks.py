"""Checks: Great Expectations on the results of a stage, with a report of our own.

Suites are built in code (of each stage's file), since a stored suite silently loses custom ones; so
the number evaluated is compared, too. Data Docs hold run times, so they go to ``state/``.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.support.check_report import ROWS, Check, CheckReport
from tasks.support.data_docs import write_data_docs
from tasks.support.errors import ChecksFailed
from tasks.support.expectations import ROW_IDS


def validate(
    stage: str,
    tables: Mapping[str, pd.DataFrame],
    suites: Mapping[str, Sequence[Any]],
    *,
    docs: Path | None = None,
) -> CheckReport:
    """Evaluate every expectation of ``suites[name]`` on ``tables[name]``.

    Raises ChecksFailed for a table without rows and RuntimeError when Great Expectations
    evaluated fewer expectations than it was given. Writes Data Docs into ``docs``.
    """
    # Nearly every expectation holds on a table without rows.
    for name, table in tables.items():
        if table.empty:
            raise ChecksFailed(f"{stage}: table `{name}` has no rows, so nothing can be checked.")
    if set(tables) != set(suites):
        raise RuntimeError(f"{stage}: tables {sorted(tables)} but suites {sorted(suites)}")
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_pandas(stage)
    checks: list[Check] = []
    for name, table in tables.items():
        suite = gx.ExpectationSuite(name=f"{stage}.{name}", expectations=list(suites[name]))
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        definition = gx.ValidationDefinition(
            name=f"{stage}.{name}", data=batch, suite=context.suites.add(suite)
        )
        result = context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": table}, result_format=_format(name, table)
        )
        if len(result.results) != len(suites[name]):
            raise RuntimeError(
                f"{stage}.{name}: {len(suites[name])} expectations given, "
                f"{len(result.results)} evaluated"
            )
        # Sorted, so that equal results are equal files.
        checks += sorted(
            (_check(name, each) for each in result.results), key=lambda c: (c.name, str(c.expected))
        )
    report = CheckReport(stage, tuple(checks))
    if docs is not None:
        write_data_docs(context, report, docs)
    return report


def _format(name: str, table: pd.DataFrame) -> dict[str, Any]:
    """How much of a result is kept: the first failing rows, by the table's id columns."""
    ids = [column for column in ROW_IDS.get(name, ()) if column in table]
    return {
        "result_format": "SUMMARY",
        "partial_unexpected_count": ROWS,
        **({"unexpected_index_column_names": ids} if ids else {}),
    }


_OBSERVED = ("observed_value", "unexpected_count", "partial_unexpected_list")


def _check(table: str, result: Any) -> Check:
    config = result.expectation_config
    observed = {key: _plain(result.result[key]) for key in _OBSERVED if key in result.result}
    found = () if result.success else result.result.get("partial_unexpected_index_list") or ()
    failed = [row for row in found if isinstance(row, dict)]  # of a table without ids: positions
    if failed:
        observed.pop("partial_unexpected_list", None)  # the rows hold the same values
    if not result.success and not observed:  # it could not be evaluated: a column is missing
        details = result.exception_info or {}
        first = next((v for v in details.values() if isinstance(v, dict)), details)
        observed = {"error": str(first.get("exception_message"))}
    return Check(
        table=table,
        name=str(config.type).removeprefix("expect_"),
        severity=str(config.severity.value),
        passed=bool(result.success),
        expected={k: _plain(v) for k, v in config.kwargs.items() if k != "batch_id"},
        observed=observed,
        rows=tuple({str(k): _plain(v) for k, v in _id_first(row, config)} for row in failed),
    )


def _id_first(row: Mapping[str, Any], config: Any) -> list[tuple[str, Any]]:
    column = config.kwargs.get("column")
    return sorted(row.items(), key=lambda item: item[0] == column)


def _plain(value: Any) -> Any:
    """JSON-able, finite, and short."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each) for each in list(value)[:10]]
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    return str(value)[:400]
