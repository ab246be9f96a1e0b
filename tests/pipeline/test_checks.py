"""Data checks: what they refuse, and that none is lost."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
import pytest

from falcon.config import GateSettings
from tasks import benchmark, gate, prepare, rollout, seed, train
from tasks.support.check_report import named, report_markdown
from tasks.support.checks import validate
from tasks.support.errors import ChecksFailed
from tasks.support.expectations import ROW_IDS
from tasks.train import finite_rows


def samples(**changed: list[object]) -> pd.DataFrame:
    columns: dict[str, list[object]] = {
        "problem_id": ["a", "a", "b"],
        "program": ["x", "y", "z"],
        "outcome": ["pass", "wrong_answer", "syntax_error"],
        "reward": [1.0, -0.3, -1.0],
        "coarse": [1.0, -0.3, -1.0],
        "style": [1.0, math.nan, -1.0],
        "complexity": [2.0, 0.0, -1.0],
        "tokens": [3, 4, 5],
        "sample": [0, 1, 0],
        "not_finite": ["", "", ""],
    }
    return pd.DataFrame({**columns, **changed})


def facts(**changed: float) -> pd.DataFrame:
    usual = {
        "fault_rate": 0.0,
        "tamper_rate": 0.0,
        "outcomes": 3,
        "syntax_rate": 0.3,
        "empty_rate": 0,
    }
    return pd.DataFrame([{**usual, **changed}])


def check_rollout(frame: pd.DataFrame, figures: pd.DataFrame, docs: Path | None = None):
    return validate(
        "rollout",
        {"rollouts": frame, "facts": figures},
        rollout.expectations(GateSettings()),
        docs=docs,
    )


def test_good_rollouts_pass_and_every_expectation_is_counted(tmp_path: Path) -> None:
    report = check_rollout(samples(), facts(), tmp_path / "docs")
    assert report.passed
    assert not report.warnings
    expected = sum(len(each) for each in rollout.expectations(GateSettings()).values())
    assert len(report.checks) == report.as_json()["evaluated"] == expected == 15
    assert (tmp_path / "docs" / "index.html").is_file()
    # Equal results are equal bytes: no times, no ids.
    again = check_rollout(samples(), facts())
    assert json.dumps(report.as_json()) == json.dumps(again.as_json())


@pytest.mark.parametrize(
    ("frame", "figures", "column"),
    [
        (samples(outcome=["pass", "cheated", "pass"]), facts(), "outcome"),
        (samples(reward=[1.0, math.nan, 0.0]), facts(), "reward"),
        (samples(style=[9.0, 0.0, 0.0]), facts(), "style"),
        (samples(not_finite=["", "coarse", ""]), facts(), "not_finite"),
        (samples(), facts(fault_rate=0.2), "fault_rate"),
        (samples().drop(columns="tokens"), facts(), "tokens"),
    ],
)
def test_bad_rollouts_fail_and_say_where(
    frame: pd.DataFrame, figures: pd.DataFrame, column: str
) -> None:
    report = check_rollout(frame, figures)
    assert not report.passed
    assert {c.expected["column"] for c in report.failures} == {column}
    with pytest.raises(ChecksFailed, match=column) as caught:
        report.raise_if_failed()
    assert caught.value.exit_code == 3
    assert "failed" in report_markdown(report.as_json())


def test_a_warning_does_not_fail() -> None:
    report = check_rollout(samples(), facts(tamper_rate=0.9))
    assert report.passed
    assert [c.expected["column"] for c in report.warnings] == ["tamper_rate"]


def test_an_empty_table_is_refused_although_every_expectation_would_hold() -> None:
    with pytest.raises(ChecksFailed, match="`rollouts` has no rows"):
        check_rollout(samples().iloc[:0], facts())


def test_an_expectation_that_is_lost_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    real = gx.ExpectationSuite

    def forgetful(*, name: str, expectations: list[object]) -> object:
        return real(name=name, expectations=expectations[:-1])

    monkeypatch.setattr(gx, "ExpectationSuite", forgetful)
    pair = [
        gxe.ExpectColumnValuesToNotBeNull(column="x"),
        gxe.ExpectColumnValuesToBeUnique(column="x"),
    ]
    with pytest.raises(RuntimeError, match="2 expectations given, 1 evaluated"):
        validate("s", {"t": pd.DataFrame({"x": [1]})}, {"t": pair})


def test_no_check_at_all_is_no_pass() -> None:
    report = validate("s", {}, {})
    assert not report.passed
    with pytest.raises(ChecksFailed, match="nothing was checked"):
        report.raise_if_failed()


def test_curves_must_be_finite_where_training_depends_on_them() -> None:
    frame = pd.DataFrame(
        {
            "step": [0, 1, 2, 3],
            "loss/total": [1.0, math.nan, 0.5, 0.4],
            "valid/pass_rate": [math.nan, 0.1, math.nan, math.inf],
        }
    )
    assert list(finite_rows(frame)["not_finite"]) == ["", "loss/total", "", "valid/pass_rate"]


def test_a_failed_check_names_the_rows(tmp_path: Path) -> None:
    many = pd.concat([samples()] * 30, ignore_index=True).assign(sample=range(90))
    many.loc[many["sample"] % 3 == 0, "outcome"] = "cheated"
    report = check_rollout(many, facts(), tmp_path / "docs")
    (failure,) = report.failures
    assert failure.observed == {"unexpected_count": 30}
    assert [row["sample"] for row in failure.rows] == list(range(0, 60, 3))
    assert list(failure.rows[0].items()) == [
        ("problem_id", "a"), ("sample", 0), ("outcome", "cheated")
    ]  # fmt: skip
    first = "30 rows: problem_id a, sample 0, outcome cheated; problem_id a, sample 3,"
    with pytest.raises(ChecksFailed) as caught:
        report.raise_if_failed()
    assert first in caught.value.message
    assert "; 27 more" in caught.value.message
    assert "\n" not in caught.value.message
    assert "sample 57, outcome cheated; 10 more |" in report_markdown(report.as_json())
    pages = {page.name: page.read_text() for page in (tmp_path / "docs").iterdir()}
    assert set(pages) == {"index.html", "rollouts.html", "facts.html"}
    assert "sample 57, outcome cheated" in pages["index.html"]
    assert "cheated" in pages["rollouts.html"]
    for page in pages.values():
        assert "<style>:root" in page or "<style>/*" in page
        assert not re.search(r"<script|<link|https?:", page)
    assert json.dumps(report.as_json()) == json.dumps(check_rollout(many, facts()).as_json())


def test_a_fact_about_many_things_names_those_that_are_wrong() -> None:
    assert named([]) == ""
    assert named(range(3)) == "0, 1, 2"
    assert named(range(25)).endswith("18, 19, 5 more")


def test_every_table_that_is_checked_has_its_ids(tmp_path: Path) -> None:
    tables = [prepare.expectations(), seed.expectations(), rollout.expectations(GateSettings())]
    tables += [train.expectations(), benchmark.expectations(["base"]), gate.expectations()]
    names = {name for each in tables for name in each}
    assert names - {"facts"} == set(ROW_IDS)
