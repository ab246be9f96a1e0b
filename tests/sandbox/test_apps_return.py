"""``return`` at the top level of a printing program of APPS, beside the checker's own wrapping."""

from __future__ import annotations

import subprocess
import sys

import pytest

from falcon.problems.apps import PRELUDE
from falcon.sandbox import Outcome, Program, Sandbox
from falcon.sandbox.wire.messages import RETURNS
from falcon.suite import Call, CallSuite, Run, StdinSuite

PROGRAMS = {
    "ends early": "n = int(input())\nif n == 3:\n    print('yes')\n    return\nprint('no')\n",
    "with a value": "print('yes')\nreturn print(), 0",
    "in a loop": "import sys\nfor i in range(9):\n    if i == 2:\n        print('yes')\n        return 0\n",
    "a bare except does not catch it": "try:\n    print('yes')\n    return\nexcept:\n    print('no')\n",
    "finally runs": "try:\n    return\nfinally:\n    print('yes')\n",
    "functions see the names": "a = 'yes'\ndef f():\n    return a\nprint(f())\nreturn\n",
    "nonlocal": "a = 'no'\ndef f():\n    nonlocal a\n    a = 'yes'\nf()\nprint(a)\nreturn\n",
    "names are no globals": "a = 'yes'\ndef f():\n    global a\n    return a\nprint(f())\nreturn\n",
    "imports stay outside": "from math import *\nimport sys\nprint('yes' if pi else '')\nreturn\n",
    "no star inside": "x = 1\nfrom math import *\nprint('yes')\nreturn\n",
    "two lines of text": "a = '''y\n'''\nprint(a.strip() + 'es')\nreturn\n",
    "a function's own return only": "def f():\n    return 'yes'\nprint(f())\n",
    "in a class": "class A:\n    return\nprint('yes')\n",
    "a generator": "print('yes')\nyield 1\nreturn\n",
    "broken": "print('yes'\nreturn\n",
    "only imports": "import sys; return\n",
}  # fmt: skip


def _checker(program: str) -> bool:
    """As the checker of APPS: lines are set off by a tab in a function, but the first imports."""
    made, started = "", False
    for line in program.split("\n"):
        plain = line.startswith(("from ", "import "))
        if not plain and not started:
            made += "def code():\n"
            started = True
        made += ("\t" if started else "") + line + "\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{PRELUDE}{made}code()"],
        input="3\n",
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0 and done.stdout.strip() == "yes"


def _suite(rule: str = "apps") -> StdinSuite:
    made = {"runs": (Run(stdin="3\n", expected="yes\n"),), "rule": rule, "prelude": PRELUDE}
    return StdinSuite.model_validate(made)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_verdict_is_the_checker_s(sandbox: Sandbox, name: str) -> None:
    wrapped = [_checker(PROGRAMS[name])]
    for rule in ("apps", "apps:unordered"):
        wrapped.append(sandbox.judge(Program(PROGRAMS[name], _suite(rule))).passed)
    assert len(set(wrapped)) == 1


def test_most_of_these_pass(sandbox: Sandbox) -> None:
    verdicts = sandbox.judge_all([Program(code, _suite()) for code in PROGRAMS.values()])
    assert [name for name, v in zip(PROGRAMS, verdicts, strict=True) if not v.passed] == [
        "names are no globals", "no star inside", "in a class", "a generator", "broken", "only imports",
    ]  # fmt: skip


def test_lines_are_those_of_the_source(sandbox: Sandbox) -> None:
    code = "import sys\n\na = '''\n'''\nif a:\n    x = [\n        1]\n    x[2]\nreturn\n"
    verdict = sandbox.judge(Program(code, _suite()))
    assert verdict.outcome is Outcome.RUNTIME_ERROR
    assert verdict.error is not None
    assert (verdict.error.type, verdict.error.line) == ("IndexError", 8)
    verdict = sandbox.judge(Program("x = 1\nreturn\nclass A:\n    return\n", _suite()))
    assert verdict.outcome is Outcome.SYNTAX_ERROR
    assert verdict.error is not None
    assert verdict.error.line == 4
    traced = sandbox.judge(Program("a = 1\nif a:\n    print('yes')\n    return\nb = 2\n", _suite(), trace=True))  # fmt: skip
    assert traced.passed
    assert traced.cases[0].lines == (1, 2, 3, 4)


def test_programs_without_such_a_return_run_as_ever(sandbox: Sandbox) -> None:
    code = "a = 'no'\ndef f():\n    global a\n    a = 'yes'\nf()\nprint(a)\n"
    assert sandbox.judge(Program(code, _suite())).passed
    assert sandbox.judge(Program("if __name__ == '__main__':\n    print('yes')", _suite())).passed


def test_elsewhere_it_stays_a_syntax_error(sandbox: Sandbox) -> None:
    code = PROGRAMS["ends early"]
    plain = StdinSuite(runs=_suite().runs)
    called = CallSuite(entry_point="f", calls=(Call(expected=1),), rule="apps")
    for program in (
        Program(code, plain),
        Program("def f():\n    return 1\nreturn", called),
        Program(RETURNS + code, plain),  # the mark cannot be forged
        Program(RETURNS + code, _suite()),
    ):
        verdict = sandbox.judge(program)
        assert verdict.outcome is Outcome.SYNTAX_ERROR
    assert sandbox.judge(Program("\udc01" + code, plain)) .error == sandbox.judge(Program(RETURNS + code, plain)).error  # fmt: skip
