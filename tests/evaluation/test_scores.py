from __future__ import annotations

import pandas as pd
import pytest

from falcon.evaluation.intervals import wilson
from falcon.evaluation.scores import flat_metrics, rounded
from tests.evaluation import samples


def test_scores_of_a_benchmark_by_hand() -> None:
    found = samples.scores(samples.frame())["policies"]["base"]["suites"]["humaneval"]
    expected = wilson(2, 8)
    assert found["pass@1"]["value"] == 0.25
    assert found["pass@1"]["low"] == rounded(expected.low)
    assert found["pass@1"]["high"] == rounded(expected.high)
    assert found["verdicts"] == {"pass": 0.25, "failure": 0.375, "runtime": 0.125, "syntax": 0.25}
    # Even numbers: P R W P, odd ones: W S W S.
    assert found["by_difficulty"]["introductory"]["pass@1"]["value"] == 0.5
    assert found["by_difficulty"]["competition"]["pass@1"]["value"] == 0.0
    assert found["style"]["mean"] == pytest.approx(0.85)
    assert found["style"]["low"] < 0.85 < found["style"]["high"]
    assert found["complexity"]["mean"] == pytest.approx(0.65)
    assert found["reward"]["mean"] == pytest.approx((2 + 3 * 0.35 - 0.6 - 2) / 8)
    assert found["tokens"] == 13.5
    assert found["tampered"] == 1
    assert (found["truncated"], found["rescued"]) == (0.25, 0.0)


def test_answers_that_were_cut_and_pass_are_counted_apart() -> None:
    frame = samples.frame()
    passed = (frame["policy"] == "base") & (frame["outcome"] == "pass")
    frame.loc[passed & (frame["suite"] == "humaneval"), "finished"] = False
    found = samples.scores(frame)["policies"]["base"]["suites"]["humaneval"]
    assert (found["truncated"], found["rescued"]) == (0.5, 0.25)


def test_ranks_of_programs_are_no_part_of_scores() -> None:
    """A rank is worth 3: a program more that passes would hide all else in the gate's interval."""
    ranked = samples.frame()
    ranked["reward"] = 3.0 * (ranked["outcome"] == "pass") + ranked["reward"]
    assert samples.scores(ranked) == samples.scores(samples.frame())


def test_faults_are_counted_and_left_out() -> None:
    found = samples.scores(samples.frame())
    scored = found["policies"]["trained"]["suites"]["builtin"]
    assert (scored["problems"], scored["samples"], scored["faults"]) == (3, 3, 1)
    assert scored["pass@1"]["value"] == 1.0
    assert found["comparisons"]["trained-base"]["builtin"]["problems"] == 3


def test_paired_comparison_by_hand() -> None:
    found = samples.scores(samples.frame())["comparisons"]["trained-base"]
    passed = found["humaneval"]["pass_rate"]
    # Gained 1, 2 and 7, lost 6: p = 2 * (1 + 4) / 16.
    assert (passed["wins"], passed["losses"], passed["p_mcnemar"]) == (3, 1, 0.625)
    assert passed["difference"] == 0.25
    assert passed["low"] < 0.25 < passed["high"]
    assert found["humaneval"]["style"]["difference"] == 0.0
    pooled = found["pooled"]
    assert pooled["problems"] == 11
    assert pooled["pass_rate"]["difference"] == rounded(3 / 11)
    assert set(samples.scores(samples.frame())["comparisons"]) == {
        "trained-base",
        "trained-champion",
    }


def test_a_problem_counts_once_however_many_samples_it_has() -> None:
    rows = [samples.row("base", "humaneval", 0, ending, i) for i, ending in enumerate("PWW")]
    rows += [samples.row("base", "humaneval", 1, "P", i) for i in range(3)]
    rows += [samples.row("base", "builtin", 0, "X")]
    found = samples.scores(pd.DataFrame(rows))["policies"]["base"]["suites"]
    assert found["humaneval"]["pass@1"]["value"] == rounded((1 / 3 + 1) / 2)
    assert found["humaneval"]["pass@2"]["value"] == rounded((2 / 3 + 1) / 2)
    assert found["humaneval"]["reward"]["mean"] == rounded(((1 + 0.7) / 3 + 1) / 2)
    assert found["builtin"]["pass@1"] == {"value": None, "low": None, "high": None}
    assert found["builtin"]["faults"] == 1


def test_metrics_are_numbers_by_benchmark_and_policy() -> None:
    found = flat_metrics(samples.scores(samples.frame()))
    assert found["humaneval/base/pass@1"] == 0.25
    assert found["pooled/trained-base/pass_rate"] == rounded(3 / 11)
    assert found["humaneval/trained-base/p_mcnemar"] == 0.625
    assert found["builtin/trained/faults"] == 1.0
    assert (found["humaneval/base/truncated"], found["humaneval/trained/truncated"]) == (0.25, 0.0)
    assert all(isinstance(v, float) for v in found.values())


def test_rounding_leaves_no_negative_zero() -> None:
    assert str(rounded(-1e-9)) == "0.0"
    assert rounded(1 / 3) == 0.333333


def test_the_share_of_tests_and_the_tests_of_the_original_benchmark() -> None:
    frame = samples.frame()
    found = samples.scores(frame)["policies"]["base"]["suites"]["humaneval"]
    # P 2 of 2, W 1 of 2, R and S none: PWRSWWPS.
    assert found["tests_passed"]["mean"] == pytest.approx((2 + 3 * 0.5) / 8)
    assert "base" not in found
    frame["passed_base"] = frame["outcome"].isin(["pass", "wrong_answer"])
    told = samples.scores(frame)["policies"]["base"]["suites"]["humaneval"]
    assert told["base"]["pass@1"]["value"] == 0.625
    assert told["pass@1"]["value"] == 0.25


def test_all_levels_are_weighted_as_the_test_split_of_apps() -> None:
    frame = samples.frame()
    assert "all_weighted" not in samples.scores(frame)["policies"]["base"]["suites"]["humaneval"]
    levels = ["introductory", "introductory", "interview", "interview", "competition"]
    some = frame[(frame["policy"] == "base") & (frame["suite"] == "humaneval")].head(5)
    some = some.assign(difficulty=levels)  # P W R S W
    rest = frame[~((frame["policy"] == "base") & (frame["suite"] == "humaneval"))]
    found = samples.scores(pd.concat([some, rest]))["policies"]["base"]["suites"]["humaneval"]
    assert found["all_weighted"] == pytest.approx(0.2 * 0.5)
    assert found["pass@1"]["value"] == 0.2
