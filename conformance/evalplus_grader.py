"""The sandbox's verdicts on MBPP+ beside those of EvalPlus's own check, base and plus tests apart.

References, empty bodies and references with one edit go through both. The package ``evalplus``
is no dependency: it lies in a folder of its own and runs in a process of its own. No run of the
pipeline uses this.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conformance import evalplus_process
from falcon.errors import UserError
from falcon.memory.mutation import corrupt
from falcon.problems.fault import refuse
from falcon.problems.files import parse_rows
from falcon.problems.problem import Problem
from falcon.problems.rows import read_rows
from falcon.sandbox import Outcome, Program, Sandbox, Verdict

PARTS = ("base", "plus")


@dataclass(frozen=True)
class EvalPlusTask:
    """A row of the file, and the problem made of it."""

    row: dict[str, Any]
    problem: Problem


@dataclass(frozen=True)
class EvalPlusCase:
    """A program for a task, and the group it belongs to."""

    group: str
    task: EvalPlusTask
    program: str


@dataclass(frozen=True)
class EvalPlusComparison:
    """A case with both verdicts; ``theirs`` has "pass", "fail" or "timeout" for each part."""

    case: EvalPlusCase
    ours: Verdict
    theirs: dict[str, str]

    def passed(self, part: str) -> bool:
        """Whether all tests of one part pass, by our verdict."""
        first = self.case.task.problem.base_tests
        cases = self.ours.cases[:first] if part == "base" else self.ours.cases[first:]
        return all(case.outcome is Outcome.PASS for case in cases)

    @property
    def judged(self) -> bool:
        """Whether we have a verdict at all."""
        return self.ours.outcome is not Outcome.SANDBOX_ERROR

    def agree(self, part: str) -> bool:
        """Whether both call it a pass, or both do not."""
        return self.judged and self.passed(part) == (self.theirs[part] == "pass")


def load_tasks(file: Path) -> list[EvalPlusTask]:
    """The tasks of a file of EvalPlus. Raises UserError for one that has faults."""
    rows, faults = read_rows(file, missing="Give MbppPlus.jsonl.")
    problems, more = parse_rows(file, rows, "evalplus")
    refuse(file, faults + more)
    by_row = dict(problems)
    return [EvalPlusTask(row, by_row[number]) for number, row in rows]


def cases(tasks: Sequence[EvalPlusTask], mutants: int, seed: int = 0) -> Iterator[EvalPlusCase]:
    """References, empty bodies, and ``mutants`` references with one edit each."""
    for task in tasks:
        yield EvalPlusCase("reference", task, task.problem.solutions[0])
    for task in tasks:
        yield EvalPlusCase("empty body", task, _empty(task))
    rng = np.random.default_rng(seed)
    for number in range(mutants):
        task = tasks[number % len(tasks)]
        edited = corrupt(task.row["canonical_solution"], rng)
        yield EvalPlusCase("mutant", task, task.row["prompt"] + edited)


def _empty(task: EvalPlusTask) -> str:
    """The reference's function with nothing in it."""
    tree = ast.parse(task.problem.solutions[0])
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == task.problem.entry_point:
            node.body = [ast.Pass()]
    return ast.unparse(tree)


def require_package(folder: Path) -> None:
    """Raise UserError unless the folder holds the package."""
    if not (folder / "evalplus" / "eval" / "__init__.py").is_file():
        raise UserError(
            f"{folder}: the package evalplus is not there.",
            hint=f"pip install --target {folder} --no-deps evalplus==0.3.1",
        )


def compare(
    chosen: Sequence[EvalPlusCase], sandbox: Sandbox, package: Path
) -> list[EvalPlusComparison]:
    """Both verdicts on every case. Raises UserError without the package."""
    require_package(package)
    ours = sandbox.judge_all([Program(case.program, case.task.problem.tests) for case in chosen])
    theirs = _theirs(chosen, package)
    return [EvalPlusComparison(*each) for each in zip(chosen, ours, theirs, strict=True)]


def _theirs(chosen: Sequence[EvalPlusCase], package: Path) -> list[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        jobs, results = Path(folder) / "jobs.jsonl", Path(folder) / "results.jsonl"
        lines = [json.dumps({"problem": c.task.row, "program": c.program}) for c in chosen]
        jobs.write_text("\n".join(lines) + "\n", encoding="utf-8")
        subprocess.run(
            [sys.executable, evalplus_process.__file__, str(package), str(jobs), str(results)],
            check=True,
        )
        return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
