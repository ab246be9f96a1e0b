"""The reference programs of data files, by their own tests: in the sandbox and by plain ``exec``.

A right program that the sandbox turns away costs rewards and scores without a word. Each source
gives one line of counts, and one for every reference that does not pass on both sides.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from conformance import plain_exec
from falcon.config import Settings
from falcon.problems.problem import Problem
from falcon.problems.sources import load_any
from falcon.sandbox import Program, Sandbox, Verdict

PASS = "pass"
_WAITS = 4  # times the limit of the sandbox: it grows with the tests, and the clock is no CPU's


@dataclass(frozen=True)
class ReferenceComparison:
    """A problem whose first reference was judged; ``plain`` is "pass" or what went wrong."""

    problem: Problem
    ours: Verdict
    plain: str

    @property
    def agree(self) -> bool:
        """Whether both call it a pass, or both do not."""
        return self.ours.passed == (self.plain == PASS)

    @property
    def said(self) -> str:
        """Both endings in a line."""
        ours, error = self.ours, self.ours.error
        reason = f" {error.type}: {error.message}" if error else f" {ours.detail}"
        failed = f", {ours.n_fail} of {len(ours.cases)} tests fail" if ours.n_fail else ""
        return f"exec {self.plain}; sandbox {ours.outcome.value}{reason.rstrip()}{failed}"


def run_plainly(problem: Problem, seconds: float) -> str:
    """Run a problem's first reference and its tests in a process of their own, unconfined.

    "pass", "timeout" after ``seconds`` in all, or the last line of the error. Hashes are those of
    the sandbox: some references go by the order of a set.
    """
    job = pickle.dumps((problem.solutions[0], problem.tests.model_dump()))
    command = [sys.executable, plain_exec.__file__]
    same = {**os.environ, "PYTHONHASHSEED": "0"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=same, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    ) as process:
        try:
            output, errors = process.communicate(job, timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # a whole program is a process below it
            return "timeout"
    if process.returncode == 0 and output.endswith(plain_exec.DONE):
        return PASS
    lines = errors.decode("utf-8", "replace").splitlines() or [f"status {process.returncode}"]
    return lines[-1][:200]


def compare(
    problems: Sequence[Problem], sandbox: Sandbox, seconds: float
) -> list[ReferenceComparison]:
    """Both sides on the problems that have a reference; one side after the other, so that
    neither slows the other down."""
    chosen = [problem for problem in problems if problem.solutions]
    ours = sandbox.judge_all([Program(p.solutions[0], p.tests) for p in chosen])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        plain = list(pool.map(partial(run_plainly, seconds=seconds), chosen))
    return [ReferenceComparison(*each) for each in zip(chosen, ours, plain, strict=True)]


def report(names: Sequence[str], settings: Settings, data_dir: Path) -> int:
    """Print the table of all sources, and the references that do not pass on both sides. Returns
    the number of differences.

    Raises UserError for a source that cannot be read.
    """
    compared: list[ReferenceComparison] = []
    print(f"{'source':<40} {'rows':>5} {'references':>10} {'exec':>5} {'sandbox':>7} {'agree':>5}")
    with Sandbox(settings) as sandbox:
        for name in names:
            problems = load_any(name, settings, data_dir)
            found = compare(problems, sandbox, _WAITS * settings.sandbox.total_cpu_seconds)
            counts = (
                len(problems),
                len(found),
                sum(each.plain == PASS for each in found),
                sum(each.ours.passed for each in found),
                sum(each.agree for each in found),
            )
            rows, references, plain, ours, agree = counts
            print(f"{name[-40:]:<40} {rows:>5} {references:>10} {plain:>5} {ours:>7} {agree:>5}")
            compared += found
    for each in compared:
        if not (each.agree and each.ours.passed):
            print(f"{each.problem.id}{'' if each.agree else ' (differs)'}: {each.said}")
    return sum(not each.agree for each in compared)
