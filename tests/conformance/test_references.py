"""References in the sandbox beside plain ``exec``: what agrees, what differs, and what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from conformance.references import report, run_plainly
from falcon.config import Settings
from falcon.problems.problem import Difficulty, Problem, Split
from falcon.suite import Call, CallSuite, CodeSuite, Run, StdinSuite, Suite

RIGHT, WRONG = "def f(x):\n    return x + 1", "def f(x):\n    return x"
ASSERTS = CodeSuite(asserts=("assert f(1) == 2", "assert f(2) == 3"), entry_point="f")
CHECK = CodeSuite(check="def check(c):\n    assert c(1) == 2\n", entry_point="f")
CALLS = CallSuite(entry_point="f", calls=(Call(args=(1,), expected=2),))
REFERENCE = CallSuite(entry_point="f", calls=(Call(args=(1,)),), reference=RIGHT, rule="evalplus")
RUNS = StdinSuite(runs=(Run(stdin="1\n", expected="2\n"), Run(stdin="4\n", expected="5\n")))
WHOLE = "\nprint(f(int(input())))"


def problem(name: str, code: str, tests: Suite) -> Problem:
    return Problem(
        id=f"own/{name}",
        source="own",
        split=Split.TEST,
        difficulty=Difficulty.INTRODUCTORY,
        statement="Add one.",
        entry_point="" if tests.kind == "stdin" else "f",
        tests=tests,
        solutions=(code,),
    )


def _words(process: psutil.Process) -> list[str]:
    return process.info["cmdline"] or []


@pytest.mark.parametrize("tests", [ASSERTS, CHECK, CALLS, REFERENCE, RUNS])
def test_plain_exec_tells_right_from_wrong(tests: Suite) -> None:
    end = WHOLE if tests.kind == "stdin" else ""
    assert run_plainly(problem("a", RIGHT + end, tests), 20) == "pass"
    assert run_plainly(problem("a", WRONG + end, tests), 20).startswith("AssertionError")
    assert run_plainly(problem("a", "raise SystemExit(0)", tests), 20) != "pass"
    endless = f"while True: pass  # {uuid4()}"
    assert run_plainly(problem("a", endless, tests), 1) == "timeout"
    killed = [p for p in psutil.process_iter(["cmdline"]) if endless in _words(p)]
    assert not psutil.wait_procs(killed, timeout=10)[1]  # is left


def test_what_does_not_pass_on_both_sides_is_listed(tmp_path: Path, capsys: Any) -> None:
    """The third reference is right in any Python, and returns more than may cross."""
    long = "def f(x):\n    return 'x' * 20_000_000"
    tests = CodeSuite(asserts=("assert len(f(1)) == 20_000_000",), entry_point="f")
    rows = [
        problem("right", RIGHT, ASSERTS),
        problem("wrong", WRONG, ASSERTS),
        problem("long", long, tests),
    ]
    file = tmp_path / "own.jsonl"
    file.write_text("".join(row.model_dump_json() + "\n" for row in rows), encoding="utf-8")
    settings = Settings().changed({"machine.cache": False, "machine.workers": 1})
    different = report([f"jsonl:{file}"], settings, tmp_path)
    table, *listed = capsys.readouterr().out.splitlines()[1:]
    assert table.split()[-5:] == ["3", "3", "2", "1", "2"]
    assert [line.split(":")[0] for line in listed] == ["own/wrong", "own/long (differs)"]
    assert different == 1
