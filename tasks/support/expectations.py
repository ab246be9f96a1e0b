"""Expectations: what must hold of each stage's results, as Great Expectations suites.

One function a stage. Costly work was done before: here are only the bounds of columns and facts.
A bound ignores missing values, so a number that may be missing is checked for presence too.
"""

from collections.abc import Sequence
from typing import Any

from falcon.config import GateSettings
from falcon.problems.problem import Difficulty, Split
from falcon.sandbox.verdict import Outcome

Suites = dict[str, list[Any]]

ROW_IDS = {
    "problems": ("id",),
    "memory": ("key", "problem_id"),
    "demonstrations": ("key", "problem_id"),
    "rollouts": ("problem_id", "sample"),
    "curves": ("step",),
    "samples": ("suite", "policy", "problem_id", "sample"),
    "reasons": ("name",),
}
"""Columns that name a row of each table. ``facts`` has one row: where a fact is about several
things, its value names those that are wrong, and is empty when none is."""

NONE = [""]


def _expect(kind: str, severity: str = "critical", **values: Any) -> Any:
    import great_expectations.expectations as gxe

    return getattr(gxe, f"Expect{kind}")(severity=severity, **values)


def _present(column: str) -> Any:
    return _expect("ColumnValuesToNotBeNull", column=column)


def _between(column: str, low: float | None, high: float | None, severity: str = "critical") -> Any:
    kind = "ColumnValuesToBeBetween"
    return _expect(kind, severity, column=column, min_value=low, max_value=high)


def _among(column: str, values: Sequence[Any], severity: str = "critical") -> Any:
    return _expect("ColumnValuesToBeInSet", severity, column=column, value_set=list(values))


def _rows(least: int = 1) -> Any:
    return _expect("TableRowCountToBeBetween", min_value=least)


def _unique(column: str) -> Any:
    return _expect("ColumnValuesToBeUnique", column=column)


def prepare() -> Suites:
    """Problems: schema, gradable, no duplicate, nothing of the benchmarks in training."""
    return {
        "problems": [
            _rows(2),
            _present("id"),
            _unique("id"),
            _among("split", [s.value for s in Split]),
            _among("difficulty", [d.value for d in Difficulty]),
            _expect("ColumnValueLengthsToBeBetween", column="statement", min_value=1),
            _present("tests"),
            _between("solutions", 0, None),
            _among("reference_passes", [True]),
            _among("empty_fails", [True]),
            _among("judging_faults", [0]),
            _among("leaks", NONE),
            _among("duplicates", NONE),
        ],
        "facts": [
            _between("train", 1, None),
            _between("demo", 0, None),
        ],
    }


def seed() -> Suites:
    """Memory: usable vectors, demonstrations that pass, nothing held out."""
    return {
        "memory": [
            _rows(),
            _present("problem_id"),
            _among("split", [Split.DEMO.value, Split.TRAIN.value]),
            _among("held_out", [False]),
            _among("outcome", [o.value for o in Outcome if o is not Outcome.SANDBOX_ERROR]),
            _present("score"),
        ],
        "demonstrations": [
            _rows(),
            _among("vector_finite", [True]),
            _among("reference_fails", [False]),
        ],
        "facts": [
            _between("vector_sizes", 1, 1),
            _between("references", 1, None),
        ],
    }


def rollout(gate: GateSettings) -> Suites:
    """Rollouts: every reward in range, faults and tampering rare, verdicts not all of a kind."""
    return {
        "rollouts": [
            _rows(),
            _present("problem_id"),
            _among("outcome", [o.value for o in Outcome]),
            _present("reward"),
            _among("not_finite", NONE),
            _between("reward", -100.0, 100.0),
            _between("coarse", -1.0, 1.0),
            *(_between(name, -1.0, 2.0) for name in ("style", "complexity")),
            _between("tokens", 0, None),
        ],
        "facts": [
            _between("fault_rate", 0.0, gate.max_fault_rate),
            _between("tamper_rate", 0.0, gate.max_tamper_rate, "warning"),
            _between("outcomes", 2, None, "warning"),
            _between("syntax_rate", 0.0, 0.95, "warning"),
            _between("empty_rate", 0.0, 0.5, "warning"),
        ],
    }


def train(gate: GateSettings) -> Suites:
    """Curves: every figure finite; tampering rare; all steps there."""
    return {
        "curves": [_rows(), _unique("step"), _among("not_finite", NONE)],
        "facts": [
            # The mean of all steps: one step has too few programs for a share to mean much.
            _between("tamper_rate", 0.0, gate.max_tamper_rate, "warning"),
            _among("missing_steps", NONE),
            _among("adapter_saved", [True]),
            _among("weights_not_finite", NONE),
            _among("memory_grew", [True], "warning"),
        ],
    }


def benchmark(policies: Sequence[str]) -> Suites:
    """Samples: every problem scored by every policy, and no sandbox fault."""
    return {
        "samples": [
            _rows(),
            _present("problem_id"),
            _among("policy", list(policies)),
            _among("outcome", [o.value for o in Outcome if o is not Outcome.SANDBOX_ERROR]),
        ],
        "facts": [
            _between("scores", 1, None),
            _among("not_scored", NONE),
            _among("scores_not_finite", NONE),
        ],
    }


def gate() -> Suites:
    """The decision itself: every check was looked at and every hash compared."""
    return {
        "reasons": [_rows(), _present("name"), _present("said"), _among("passed", [True, False])],
        "facts": [_between("stages", 5, 5), _among("scores_read", [True])],
    }
