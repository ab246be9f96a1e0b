"""Report: the scores and the programs behind them as one HTML file.

Self-contained (no script, no font or file from elsewhere), light or dark by the reader's
setting, and equal bytes for equal input. It computes no score.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.evaluation.scores import POOLED, TERMS, judged
from falcon.files import write_whole
from falcon.sandbox.verdict import Outcome

if TYPE_CHECKING:
    import pandas as pd

TEMPLATE = "report.html.j2"
SHOWN = 25  # Problems that are shown for a comparison: so many gained, and so many lost


def write_report(
    scores: Mapping[str, Any], samples: pd.DataFrame, curves: pd.DataFrame | None, out: Path
) -> None:
    """Write ``out`` from the tree of ``scores.json``, samples and curves of training, if any."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from falcon.evaluation import plots

    environment = Environment(
        loader=PackageLoader("falcon.evaluation", "."),
        autoescape=True,
        undefined=StrictUndefined,  # a misspelt name in the template is an error, not a blank
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=_percent, number=_number, signed=_signed)
    policies = list(scores["policies"])
    benchmarks = list(dict.fromkeys(samples["suite"]))
    drawn = [
        ("pass@1 with its interval", plots.pass_bars(scores, benchmarks)),
        ("How the programs ended", plots.verdict_bars(scores, benchmarks)),
        ("Style and complexity", plots.quality_histograms(samples, policies)),
    ]
    if curves is not None and (svg := plots.learning_curves(curves)):
        drawn.append(("Training", svg))
    html = environment.get_template(TEMPLATE).render(
        scores=scores,
        policies=policies,
        benchmarks=benchmarks,
        pooled=POOLED,
        terms=list(TERMS),
        plots=drawn,
        changes=[changed(samples, *pair.split("-", 1)) for pair in scores["comparisons"]],
        faults=_faults(samples),
    )
    write_whole(out, html.encode("utf-8", "replace"))


def changed(samples: pd.DataFrame, first: str, second: str) -> dict[str, Any]:
    """Problems that ``first`` solves more often than ``second`` (gained) or less often (lost).

    Each comes with a passing program of the better policy and a failing one of the other.
    """
    good = judged(samples)
    passed = (good["outcome"] == Outcome.PASS.value).rename("passed")
    keys = [good["suite"], good["problem_id"], good["policy"]]
    # A row a problem, a column a policy; NaN where none of its samples was judged.
    rate = passed.groupby(keys, sort=False).mean().unstack("policy")
    changes: dict[str, Any] = {"first": first, "second": second, "gained": [], "lost": []}
    if first not in rate or second not in rate:
        return changes | {"more": {"gained": 0, "lost": 0}}
    difference = (rate[first] - rate[second]).dropna()
    counts = {"gained": int((difference > 0).sum()), "lost": int((difference < 0).sum())}
    for kind, sign in (("gained", 1), ("lost", -1)):
        for benchmark, problem in difference[difference * sign > 0].index[:SHOWN]:
            here = good[(good["suite"] == benchmark) & (good["problem_id"] == problem)]
            changes[kind].append(
                {
                    "benchmark": benchmark,
                    "problem": problem,
                    "difficulty": here["difficulty"].iloc[0],
                    "programs": [
                        _example(here, second, want_pass=sign < 0),
                        _example(here, first, want_pass=sign > 0),
                    ],
                }
            )
    return changes | {"more": {k: n - len(changes[k]) for k, n in counts.items()}}


def _example(problem: pd.DataFrame, policy: str, *, want_pass: bool) -> dict[str, Any]:
    """One program of the policy: passing or not as wanted, any if there is none such."""
    samples = problem[problem["policy"] == policy]
    preferred = samples[(samples["outcome"] == Outcome.PASS.value) == want_pass]
    row = (preferred if len(preferred) else samples).iloc[0]
    error = str(row["error_type"] or "")
    if error and int(row["error_line"]):
        error += f" on line {int(row['error_line'])}"
    if error and (message := str(row["error_message"]).strip()):
        error += f": {message.splitlines()[0][:160]}"
    return {
        "policy": policy,
        "outcome": row["outcome"],
        "passed": row["outcome"] == Outcome.PASS.value,
        "tests": f"{int(row['n_pass'])} of {int(row['n_pass'] + row['n_fail'])} tests",
        "error": error,
        "program": str(row["program"]).rstrip(),
    }


def _faults(samples: pd.DataFrame) -> list[dict[str, str]]:
    bad = samples[samples["outcome"] == Outcome.SANDBOX_ERROR.value]
    columns = ["policy", "problem_id", "error_message"]
    return [dict(zip(columns, map(str, row), strict=True)) for row in bad[columns].to_numpy()]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _signed(value: float | None, scale: float = 1.0, digits: int = 3) -> str:
    # A true minus sign is as wide as the plus.
    return "–" if value is None else f"{scale * value:+.{digits}f}".replace("-", "−")
