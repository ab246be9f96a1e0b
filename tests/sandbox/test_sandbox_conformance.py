"""Every row of the table, at full isolation and without namespaces."""

from __future__ import annotations

import pytest
from cases import Row
from verdicts import ROWS, differences, judge_table

from falcon.sandbox import Verdict


@pytest.fixture(scope="module", params=["L3", "L2"])
def verdicts(request: pytest.FixtureRequest) -> dict[str, Verdict]:
    return judge_table(request.param, workers=3)


def test_no_verdict_moved(verdicts: dict[str, Verdict]) -> None:
    """The verdicts in detail are those of verdicts.json."""
    level = verdicts[ROWS[0].name].isolation
    assert differences(level, verdicts) == {}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.replace(" ", "_"))
def test_row(row: Row, verdicts: dict[str, Verdict]) -> None:
    verdict = verdicts[row.name]
    assert row.allows(verdict.outcome.value, verdict.isolation), (row.why, verdict)
    if row.error:
        assert verdict.error is not None
        assert verdict.error.type == row.error, verdict
    if row.line >= 0:
        assert verdict.error is not None
        assert verdict.error.line == row.line, verdict
    if verdict.error is not None:
        assert verdict.error.message.isprintable()
        assert len(verdict.error.message) <= 200


def test_names_are_unique() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) >= 200
