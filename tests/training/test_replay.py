"""What of the long-term memory is trained on, and with which rewards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from falcon.memory import HashEncoder, LongTermMemory, Origin
from falcon.policy.policy import Policy
from falcon.training.batches.items import LOSSES, Sample
from falcon.training.batches.replay import replay_samples
from tests.training.setups import attempts_of, make_problem, make_settings

GOOD = "def f(x):\n    return x + 1"
BAD = "def f(x):\n    return x // (x - x)"
CRASH = -0.6


def samples_of(
    policy: Policy, tiny: dict[str, Path], root: Path, meta: dict[str, Any], trained: int = 0
) -> dict[str, Sample]:
    """Samples by program of a memory that holds GOOD, which passed, and BAD, which crashed."""
    settings = make_settings(tiny["causal"], train={"meta": {"long_batch": 5} | meta})
    problems = {p.id: p for p in (make_problem(trained),)}
    rows = [(GOOD, "pass", 0), (BAD, "ZeroDivisionError", 2)]
    with LongTermMemory.open(root, HashEncoder(), writable=True) as memory:
        memory.append([a.experience(Origin(stage="seed")) for a in attempts_of(policy, rows)])
        samples = replay_samples(memory, policy, settings, problems, np.random.default_rng(0))
    assert not any(s.on_policy for s in samples)
    return {GOOD if "x + 1" in policy.decode(s.completion) else BAD: s for s in samples}


def earned(sample: Sample, name: str) -> float:
    """The greatest reward in size at a token; ``tests`` is the one of coarse and error."""
    terms = ("coarse", "error") if name == "tests" else (name,)
    row = sample.rows[[LOSSES.index(term) for term in terms]].sum(0)
    return float(row[row.abs().argmax()])


def test_programs_that_failed_are_left_out(
    causal: Policy, tiny: dict[str, Path], tmp_path: Path
) -> None:
    by_program = samples_of(causal, tiny, tmp_path, {})
    assert set(by_program) == {GOOD}
    assert earned(by_program[GOOD], "tests") == pytest.approx(1 - (1 + CRASH) / 2)


def test_the_baseline_is_the_mean_of_what_is_remembered_of_the_problem(
    causal: Policy, tiny: dict[str, Path], tmp_path: Path
) -> None:
    by_program = samples_of(causal, tiny, tmp_path / "mean", {"remembered": "all"})
    for name in ("tests", "style", "complexity"):
        assert earned(by_program[GOOD], name) == pytest.approx(
            -earned(by_program[BAD], name), abs=1e-6
        )
    assert earned(by_program[BAD], "tests") == pytest.approx(CRASH - (1 + CRASH) / 2)
    none = {"remembered": "all", "baseline": "none", "quality_baseline": "none"}
    by_program = samples_of(causal, tiny, tmp_path / "none", none)
    assert earned(by_program[GOOD], "tests") == 1
    assert earned(by_program[BAD], "tests") == pytest.approx(CRASH)
    assert earned(by_program[BAD], "style") > 0


def test_problems_that_are_not_trained_on_are_left_out(
    causal: Policy, tiny: dict[str, Path], tmp_path: Path
) -> None:
    assert samples_of(causal, tiny, tmp_path, {}, trained=1) == {}
