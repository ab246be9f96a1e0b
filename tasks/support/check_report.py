"""Check report: what the checks of a stage came to, as data, in words and as a table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tasks.support.errors import ChecksFailed

ROWS, NAMED = 20, 3
"""Failing rows that a report keeps, and that a message names."""


@dataclass(frozen=True)
class Check:
    """One expectation: on which table, whether it held, and what was observed.

    ``rows``: the first ``ROWS`` rows that failed, each by the table's id columns and its value.
    """

    table: str
    name: str
    severity: str
    passed: bool
    expected: dict[str, Any]
    observed: dict[str, Any]
    rows: tuple[dict[str, Any], ...] = ()

    def __str__(self) -> str:
        column = self.expected.get("column", "")
        observed = self.seen(NAMED)
        wanted = ", ".join(f"{k} {v}" for k, v in self.expected.items() if k != "column")
        return f"{self.table}{'.' if column else ''}{column}: {self.name} ({wanted}) saw {observed}"

    def seen(self, most: int) -> str:
        """What was observed: of the rows that failed how many, and ``most`` of them by id."""
        if not self.rows:
            return ", ".join(f"{key} {value}" for key, value in self.observed.items())
        return _rows_text(self.rows[:most], int(self.observed["unexpected_count"]))


def _rows_text(rows: Sequence[Mapping[str, Any]], count: int) -> str:
    named = "; ".join(", ".join(f"{k} {v}" for k, v in row.items()) for row in rows)
    more = f"; {count - len(rows)} more" if count > len(rows) else ""
    return f"{count} row{'' if count == 1 else 's'}: {named}{more}"


@dataclass(frozen=True)
class CheckReport:
    """All checks of a stage."""

    stage: str
    checks: tuple[Check, ...]

    @property
    def failures(self) -> list[Check]:
        """Critical expectations that did not hold."""
        return [c for c in self.checks if not c.passed and c.severity == "critical"]

    @property
    def warnings(self) -> list[Check]:
        """Other expectations that did not hold."""
        return [c for c in self.checks if not c.passed and c.severity != "critical"]

    @property
    def passed(self) -> bool:
        """Whether something was checked and nothing critical failed."""
        return bool(self.checks) and not self.failures

    def as_json(self) -> dict[str, Any]:
        """The report without times or ids, so that equal results are equal files."""
        return {
            "stage": self.stage,
            "passed": self.passed,
            "evaluated": len(self.checks),
            "failures": [str(c) for c in self.failures],
            "warnings": [str(c) for c in self.warnings],
            "checks": [asdict(c) for c in self.checks],
        }

    def raise_if_failed(self) -> None:
        """Raises ChecksFailed naming the first failures."""
        if self.passed:
            return
        first = "; ".join(str(c) for c in self.failures[:3]) or "nothing was checked"
        raise ChecksFailed(
            f"{self.stage}: {len(self.failures)} critical checks failed: {first}.",
            hint=f"All of them: outputs/{self.stage}/checks.json, state/data_docs/{self.stage}.",
        )


def named(things: Iterable[object]) -> str:
    """The value of a check that names what is wrong: "" for nothing, else the first few."""
    texts = [str(thing) for thing in things]
    more = f", {len(texts) - ROWS} more" if len(texts) > ROWS else ""
    return ", ".join(texts[:ROWS]) + more


def report_markdown(report: Mapping[str, Any]) -> str:
    """A report (``checks.json``) as a table for people."""
    rows = []
    for c in report["checks"]:
        state, column = "ok" if c["passed"] else c["severity"], c["expected"].get("column", "")
        observed = ", ".join(f"{k} {v}" for k, v in c["observed"].items())
        if c["rows"]:
            observed = _rows_text(c["rows"], c["observed"]["unexpected_count"])
        observed = observed.replace("|", "\\|").replace("\n", " ")
        rows.append(f"| {state} | {c['table']} | {column} | {c['name']} | {observed} |")
    head = "|  | table | column | expectation | seen |\n|---|---|---|---|---|\n"
    state = "passed" if report["passed"] else "failed"
    stage = report["stage"]
    places = f"Data Docs: `{stage}/data_docs` of the stage's MLflow run, `state/data_docs/{stage}`."
    return f"### {stage}: {state}\n\n{head}" + "\n".join(rows) + f"\n\n{places}"
