"""Scores: from the table of judged samples to ``scores.json``.

Means with intervals for each policy and benchmark, and paired comparisons of policies over the
same problems. Samples that the sandbox failed to judge are counted and left out. Stored columns
and JSON keys say ``suite`` where the code says benchmark. Nothing is generated, run or written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from falcon.evaluation.intervals import Interval, bootstrap, mcnemar, paired_bootstrap, wilson
from falcon.evaluation.pass_at_k import pass_at_k, reported_ks
from falcon.problems.problem import Difficulty
from falcon.sandbox.verdict import Outcome

if TYPE_CHECKING:
    import pandas as pd

POOLED = "pooled"  # All benchmarks of a comparison together, every problem with the same weight

CLASSES = ("pass", "failure", "runtime", "syntax")  # The outcome classes of eq. 7

TERMS = {"reward": "test_reward", "style": "style", "complexity": "complexity"}
"""Name in the scores -> column of the samples. Their column ``reward`` is R(W, F), whose ranks are
for what memory recalls and keeps; the scores and the gate compare the reward of the tests."""

APPS_SHARES = {Difficulty.INTRODUCTORY: 0.2, Difficulty.INTERVIEW: 0.6, Difficulty.COMPETITION: 0.2}
"""Problems of each level in APPS's test split (1000, 3000 and 1000)."""

COUNTED = ("faults", "tampered", "tokens", "truncated", "rescued")
"""Plain figures of a policy on a benchmark, for a tracker."""

DIGITS = 6  # decimals of every stored number


def rounded(value: float) -> float:
    """Six decimals, so that machines that differ in the last bits store equal numbers."""
    return round(float(value), DIGITS) + 0.0  # -0.0 + 0.0 is 0.0


def judged(frame: pd.DataFrame) -> pd.DataFrame:
    """The samples that have a verdict."""
    return frame[frame["outcome"] != Outcome.SANDBOX_ERROR.value]


def _shown(interval: Interval | None, name: str) -> dict[str, float | None]:
    """An interval as JSON, its estimate called ``name``; None: nothing was judged."""
    if interval is None:
        return {name: None, "low": None, "high": None}
    value, low, high = map(rounded, (interval.value, interval.low, interval.high))
    return {name: value, "low": low, "high": high}


def _by_problem(frame: pd.DataFrame, column: str) -> pd.Series[float]:
    """Mean of a column over each problem's samples, by problem id in the table's order."""
    return frame.groupby("problem_id", sort=False)[column].mean()


def _solved(frame: pd.DataFrame, *, base: bool = False) -> pd.DataFrame:
    """Samples ``n`` and passes ``c`` of each problem; ``base``: by the original tests alone."""
    passed = frame["outcome"] == Outcome.PASS.value
    if base:
        passed = frame["passed_base"].astype(bool)
    groups = passed.groupby(frame["problem_id"], sort=False)
    return groups.size().to_frame("n").assign(c=groups.sum().astype(int))


def _share_of_tests(frame: pd.DataFrame) -> pd.Series[float]:
    """The test-case average of APPS: the share of a problem's tests that pass."""
    tests = (frame["n_pass"] + frame["n_fail"]).clip(lower=1)  # 0: ended before the first test
    return _by_problem(frame.assign(share=frame["n_pass"] / tests), "share")


def _share_cut(frame: pd.DataFrame) -> float | None:
    """The share of answers that the length limit cut."""
    return rounded(1 - frame["finished"].astype(bool).mean()) if len(frame) else None


def _share_rescued(frame: pd.DataFrame) -> float | None:
    """The share of answers that the length limit cut and whose program passes all the same: what
    was cut off was behind its function."""
    cut = ~frame["finished"].astype(bool)
    passed = frame["outcome"] == Outcome.PASS.value
    return rounded((cut & passed).mean()) if len(frame) else None


class Scorer:
    """Turns samples into scores with one confidence level and one seed for all intervals."""

    def __init__(self, *, confidence: float, seed: int) -> None:
        self.confidence = confidence
        self.seed = seed

    def _mean(self, values: Any) -> Interval | None:
        v = np.asarray(values, dtype=np.float64)
        return bootstrap(v, confidence=self.confidence, seed=self.seed) if len(v) else None

    def passes(self, frame: pd.DataFrame, k: int, *, base: bool = False) -> dict[str, float | None]:
        """pass@k over problems with at least k judged samples.

        With one sample of each problem it is a proportion and gets Wilson's interval, else the
        bootstrap over problems.
        """
        counts = _solved(frame, base=base)
        counts = counts[counts["n"] >= k]
        if len(counts) and (counts["n"] == 1).all():
            share = wilson(int(counts["c"].sum()), len(counts), confidence=self.confidence)
            return _shown(share, "value")
        return _shown(self._mean(pass_at_k(counts["n"], counts["c"], k)), "value")

    def benchmark(self, frame: pd.DataFrame) -> dict[str, Any]:
        """Scores of one policy on one benchmark, from its rows of the samples table."""
        good = judged(frame)
        coarse = good["outcome"].map(lambda o: Outcome(o).coarse)  # class of eq. 7 by sample
        levels = [d for d in Difficulty if (good["difficulty"] == d.value).any()]
        # Of all samples: a fault of the sandbox must not take a k out of the report.
        most = int(frame.groupby("problem_id").size().max()) if len(frame) else 0
        return {
            "problems": int(good["problem_id"].nunique()),
            "samples": len(good),
            **{f"pass@{k}": self.passes(good, k) for k in reported_ks(most)},
            **self._base(good, most),
            **self._weighted(good, levels),
            "tests_passed": _shown(self._mean(_share_of_tests(good)), "mean"),
            "by_difficulty": {
                level.value: {
                    "problems": int(part["problem_id"].nunique()),
                    "pass@1": self.passes(part, 1),
                }
                for level in levels
                for part in [good[good["difficulty"] == level.value]]
            },
            "verdicts": {
                name: rounded((coarse == name).mean()) if len(good) else None for name in CLASSES
            },
            **{
                name: _shown(self._mean(_by_problem(good, column)), "mean")
                for name, column in TERMS.items()
            },
            "faults": len(frame) - len(good),
            "tampered": int(good["tripped"].sum()),
            "tokens": rounded(good["tokens"].mean()) if len(good) else None,
            "truncated": _share_cut(good),
            "rescued": _share_rescued(good),
        }

    def _base(self, good: pd.DataFrame, most: int) -> dict[str, Any]:
        """pass@k by the original benchmark's tests, if all problems say which these are."""
        if "passed_base" not in good or not len(good) or good["passed_base"].isna().any():
            return {}
        return {"base": {f"pass@{k}": self.passes(good, k, base=True) for k in reported_ks(most)}}

    def _weighted(self, good: pd.DataFrame, levels: Sequence[Difficulty]) -> dict[str, Any]:
        """pass@1 of the levels in the shares of APPS's test split, as the paper's "All"."""
        if set(levels) != set(APPS_SHARES):
            return {}
        parts = {level: good[good["difficulty"] == level.value] for level in levels}
        values = {level: self.passes(part, 1)["value"] for level, part in parts.items()}
        terms = [APPS_SHARES[level] * v for level, v in values.items() if v is not None]
        return {"all_weighted": rounded(sum(terms))} if len(terms) == len(levels) else {}

    def compare(self, first: pd.DataFrame, second: pd.DataFrame) -> dict[str, Any]:
        """Paired differences, first minus second, over the problems judged for both.

        A win is a problem of which the first policy solved a greater share of its samples.
        """
        a, b = judged(first), judged(second)
        counts = [_solved(part) for part in (a, b)]
        rates = [part["c"] / part["n"] for part in counts]  # by problem id
        ids = [i for i in rates[0].index if i in rates[1].index]
        x, y = (np.asarray(r.loc[ids], dtype=np.float64) for r in rates)  # [problems of both]
        wins, losses = int((x > y).sum()), int((x < y).sum())
        comparison: dict[str, Any] = {
            "problems": len(ids),
            "pass_rate": {
                **self._difference(x, y),
                "wins": wins,
                "losses": losses,
                "p_mcnemar": rounded(mcnemar(wins, losses)),
            },
        }
        for name, column in TERMS.items():
            x, y = (
                np.asarray(_by_problem(part, column).loc[ids], dtype=np.float64) for part in (a, b)
            )
            comparison[name] = self._difference(x, y)
        return comparison

    def _difference(self, x: Any, y: Any) -> dict[str, float | None]:
        level, seed = self.confidence, self.seed
        interval = paired_bootstrap(x, y, confidence=level, seed=seed) if len(x) else None
        return _shown(interval, "difference")


def score_samples(
    frame: pd.DataFrame,
    *,
    about: dict[str, dict[str, Any]],
    benchmarks: Sequence[str],
    confidence: float,
    seed: int,
) -> dict[str, Any]:
    """``policies`` and ``comparisons`` of ``scores.json``.

    ``about`` has what is stored of each policy beside its scores (digest, whether it recalls).
    The policy ``trained`` is compared with every other one.
    """
    scorer = Scorer(confidence=confidence, seed=seed)
    rows = {p: frame[frame["policy"] == p] for p in about}
    policies = {
        p: {
            **stored,
            "suites": {b: scorer.benchmark(rows[p][rows[p]["suite"] == b]) for b in benchmarks},
        }
        for p, stored in about.items()
    }
    comparisons = {}
    for other in about:
        if other == "trained" or "trained" not in about:
            continue
        x, y = rows["trained"], rows[other]
        comparisons[f"trained-{other}"] = {
            **{b: scorer.compare(x[x["suite"] == b], y[y["suite"] == b]) for b in benchmarks},
            POOLED: scorer.compare(x, y),
        }
    return {"policies": policies, "comparisons": comparisons}


def flat_metrics(scores: dict[str, Any]) -> dict[str, float]:
    """For a tracker: "humaneval/trained/pass@1", "pooled/trained-base/reward" and others alike."""
    metrics: dict[str, float | None] = {}
    for policy, about in scores["policies"].items():
        for benchmark, s in about["suites"].items():
            at = f"{benchmark}/{policy}"
            metrics |= {f"{at}/{k}": v["value"] for k, v in s.items() if k.startswith("pass@")}
            metrics |= {f"{at}/{name}": s[name]["mean"] for name in TERMS}
            metrics |= {f"{at}/{name}": s[name] for name in COUNTED if name in s}
    for pair, by_benchmark in scores["comparisons"].items():
        for benchmark, s in by_benchmark.items():
            for name in ("pass_rate", *TERMS):
                metrics[f"{benchmark}/{pair}/{name}"] = s[name]["difference"]
            metrics[f"{benchmark}/{pair}/p_mcnemar"] = s["pass_rate"]["p_mcnemar"]
    return {k: float(v) for k, v in metrics.items() if v is not None and math.isfinite(v)}
