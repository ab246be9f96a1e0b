"""The comparison with EvalPlus's own check, and where that check calls wrong programs right.

With FALCON_EVALPLUS, a folder that holds the package, their verdicts are asked for too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from conformance.evalplus_grader import (
    EvalPlusCase,
    EvalPlusComparison,
    EvalPlusTask,
    cases,
    compare,
    load_tasks,
    require_package,
)
from falcon.config import Settings
from falcon.errors import UserError
from falcon.sandbox import Program, Sandbox

PACKAGE = os.environ.get("FALCON_EVALPLUS", "")


def _row(number: int, name: str, solution: str, base: list, plus: list) -> dict[str, object]:
    return {
        "task_id": f"Mbpp/{number}",
        "prompt": f'"""\nWrite `{name}`.\nassert {name}(1)\n"""\n',
        "entry_point": name,
        "canonical_solution": solution,
        "base_input": base,
        "plus_input": plus,
        "atol": 0,
    }


HALF = _row(9001, "half", "def half(n):\n    return n / 2 if n % 2 else n // 2\n", [[1], [4]], [[3], [200000000]])  # fmt: skip
NAMES = _row(9002, "names", "def names(n):\n    return ['a'] * n\n", [[1]], [[2], [0]])
TYPES = """
class Yes(list):
    __eq__ = lambda self, other: True
    __hash__ = None
def names(n):
    return Yes()
"""
FRAMES = """
import sys
def names(n):
    outer = sys._getframe(1).f_locals
    return outer['expected'][outer['i']]
"""
NEARLY = "def half(n):\n    return n / 2 if n % 2 else n // 2 + (n > 1000)\n"
FAULTS = {
    # Equality is asked of the program's own object.
    "an object that equals everything": (NAMES, TYPES),
    # What is right lies in the frame that calls the program.
    "expected values read from the caller's frame": (NAMES, FRAMES),
    # Once a float was expected, the integers after it may be a ten-millionth off.
    "a tolerance that is kept for the inputs to come": (HALF, NEARLY),
}


@pytest.fixture
def tasks(tmp_path: Path) -> dict[str, EvalPlusTask]:
    file = tmp_path / "own.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in (HALF, NAMES)))
    return {task.problem.entry_point: task for task in load_tasks(file)}


@pytest.fixture(scope="module")
def sandbox():
    machine = {"workers": 1, "cache": False}
    limits = Settings.model_validate({"machine": machine, "sandbox": {"cpu_seconds": 1.0}})
    with Sandbox(limits) as running:
        yield running


def _ours(
    sandbox: Sandbox, chosen: list[EvalPlusCase], theirs: dict[str, str]
) -> list[EvalPlusComparison]:
    verdicts = sandbox.judge_all([Program(c.program, c.task.problem.tests) for c in chosen])
    return [EvalPlusComparison(c, v, theirs) for c, v in zip(chosen, verdicts, strict=True)]


def test_the_groups_and_both_parts(tasks, sandbox):
    chosen = list(cases(list(tasks.values()), mutants=6))
    assert [case.group for case in chosen] == ["reference"] * 2 + ["empty body"] * 2 + ["mutant"] * 6  # fmt: skip
    assert chosen[2].program.endswith("def half(n):\n    pass")
    found = _ours(sandbox, chosen, {"base": "pass", "plus": "fail"})
    assert all(each.judged for each in found)
    assert [[each.passed(part) for part in ("base", "plus")] for each in found[:4]] == [
        [True, True],
        [True, True],
        [False, False],
        [False, False],
    ]
    assert [found[0].agree("base"), found[0].agree("plus")] == [True, False]
    part = EvalPlusCase("own", tasks["half"], "def half(n):\n    return n // 2 if n > 1 else 0.5\n")
    (one,) = _ours(sandbox, [part], {"base": "pass", "plus": "fail"})
    assert (one.passed("base"), one.passed("plus")) == (True, False)


@pytest.mark.parametrize("name", FAULTS)
def test_wrong_programs_that_their_check_calls_right_are_wrong_here(tasks, sandbox, name):
    row, program = FAULTS[name]
    chosen = [EvalPlusCase("own", tasks[str(row["entry_point"])], program)]
    (found,) = _ours(sandbox, chosen, {"base": "pass", "plus": "pass"})
    assert found.judged
    assert not found.passed("plus")


@pytest.mark.skipif(not PACKAGE, reason="FALCON_EVALPLUS names no folder with the package")
def test_their_check_does_call_them_right(tasks, sandbox):
    chosen = [EvalPlusCase(n, tasks[str(row["entry_point"])], p) for n, (row, p) in FAULTS.items()]
    chosen += list(cases(list(tasks.values()), mutants=6))
    found = compare(chosen, sandbox, Path(PACKAGE))
    assert [each.theirs["plus"] for each in found[: len(FAULTS)]] == ["pass"] * len(FAULTS)
    assert all(e.agree(p) for e in found[len(FAULTS) :] for p in ("base", "plus"))


def test_without_the_package_it_is_said_in_one_line(tmp_path, capsys):
    with pytest.raises(UserError, match="evalplus is not there"):
        require_package(tmp_path)
    from conformance.__main__ import main

    assert main(["--part", "evalplus"]) == 0
    assert capsys.readouterr().out == (
        "MBPP+  skipped: it needs --evalplus FOLDER and --mbppplus FILE\n"
    )
    given = ["--evalplus", str(tmp_path), "--mbppplus", str(tmp_path / "m.jsonl")]
    assert main(["--part", "evalplus", *given]) == 0
    assert "skipped: " in capsys.readouterr().out
