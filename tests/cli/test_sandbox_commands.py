"""``falcon sandbox run``: tests in every form, exit codes, one JSON object."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from falcon.errors import UserError
from falcon.sandbox.suite_file import read_suite

HALF = "def half(x):\n    if x > 5:\n        return x / 0\n    return x // 2\n"


def test_each_assert_is_a_test_and_one_failure_does_not_hide_the_next(here: Path, falcon) -> None:
    (here / "half.py").write_text(HALF)
    (here / "tests.py").write_text(
        "import math\n\n"
        "four = half(8 - 3) + 2\nassert four == 4\n"
        "assert half(7) == 3\nassert half(4) == 3\n"
        "def test_root():\n    for x in (0, 2):\n        assert half(x) == math.sqrt(x * x) / 2\n"
    )
    done = falcon("sandbox", "run", "half.py", "--tests", "tests.py", "--json")
    assert done.code == 1
    told = json.loads(done.out)
    assert [each["outcome"] for each in told["tests"]] == [
        "pass",
        "runtime_error",
        "wrong_answer",
        "pass",
    ]
    assert told["verdict"] == "runtime_error"
    assert (told["error"]["type"], told["error"]["line"]) == ("ZeroDivisionError", 3)
    assert (told["passed"], told["failed"]) == (2, 2)
    assert told["cpu_s"] >= 0
    assert told["wall_s"] > 0
    assert told["isolation"] in ("L1", "L2", "L3")
    assert told["integrity"] == "split"


def test_check_is_given_the_function_of_the_file(here: Path, falcon) -> None:
    (here / "half.py").write_text(HALF)
    (here / "tests.py").write_text("def check(candidate):\n    assert candidate(4) == 2\n")
    done = falcon("sandbox", "run", "half.py", "--tests", "tests.py")
    assert done.code == 0
    assert "pass             assert candidate(4) == 2" in done.out
    assert "1 of 1 tests pass" in done.out

    (here / "half.py").write_text(HALF + "def other(x):\n    return 0\n")
    done = falcon("sandbox", "run", "half.py", "--tests", "tests.py")
    assert done.code == 2
    assert "2 functions" in done.err
    for words in (("--entry-point", "half"), ()):
        assert falcon("sandbox", "run", "half.py", "--tests", "tests.py", *words).code == (
            0 if words else 2
        )
    (here / "tests.py").write_text(
        "def check(candidate):\n    assert candidate(4) == 2\n\ncheck(other)\n"
    )
    assert falcon("sandbox", "run", "half.py", "--tests", "tests.py").code == 1


OWN_CLASS = """
import unittest
from half import Halver, half
class HalverTest(unittest.TestCase):
    def setUp(self):
        self.halver = Halver(4)
    def test_next(self):
        self.assertEqual([next(self.halver), next(self.halver)], [2, 1])
        self.assertRaises(TypeError, half, None)
        self.assertIsInstance(self.halver, Halver)
"""


def test_tests_import_the_program_by_its_name_and_use_its_classes(here: Path, falcon) -> None:
    halver = (
        "class Halver:\n    def __init__(self, x): self.x = x\n    def __iter__(self): return self\n"
        "    def __next__(self):\n        self.x = half(self.x)\n        return self.x\n"
    )
    (here / "tests.py").write_text(OWN_CLASS)
    for code, program in ((0, HALF + halver), (1, HALF + halver.replace("half(", "(1 + "))):
        (here / "half.py").write_text(program)
        assert falcon("sandbox", "run", "half.py", "--tests", "tests.py").code == code


def test_a_whole_program_is_judged_by_what_it_prints(here: Path, falcon) -> None:
    (here / "p.py").write_text("print(int(input()) * 2)\n")
    (here / "t.json").write_text(
        json.dumps([{"stdin": "3\n", "expected": "6"}, {"stdin": "4\n", "expected": "9"}])
    )
    done = falcon("sandbox", "run", "p.py", "--tests", "t.json", "--json")
    assert done.code == 1
    assert [each["outcome"] for each in json.loads(done.out)["tests"]] == ["pass", "wrong_answer"]


def test_what_was_not_judged_is_exit_code_2(here: Path, falcon) -> None:
    (here / "half.py").write_text(HALF)
    (here / "tests.py").write_text("from elsewhere import half\nassert half(4) == 2\n")
    done = falcon("sandbox", "run", "half.py", "--tests", "tests.py")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "tests.py, line 1: tests cannot import `elsewhere` here" in done.err
    (here / "tests.json").write_text(
        '{"kind": "code", "setup": "import half", "asserts": ["x = half(4)"]}'
    )
    done = falcon("sandbox", "run", "half.py", "--tests", "tests.json")
    assert done.code == 2
    assert "No module named 'half'" in done.out
    done = falcon("sandbox", "run", "none.py", "--tests", "tests.py")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "none.py: No such file" in done.err
    assert falcon("sandbox", "run", "half.py").code == 2


def test_an_error_message_cannot_steer_the_terminal(here: Path, falcon) -> None:
    (here / "p.py").write_text("def half(x):\n    raise ValueError('\\x1b[2J\\x07 [red]x[/red]')\n")
    (here / "t.py").write_text("assert half(4) == 2\n")
    done = falcon("sandbox", "run", "p.py", "--tests", "t.py")
    assert done.code == 1
    assert "ValueError on line 2" in done.out
    assert "[red]x[/red]" in done.out
    assert "\x1b[2J" not in done.out
    assert "\x07" not in done.out


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.py", "x = 1\n", "no test in it"),
        ("t.py", "def f(:\n", "line 1"),
        ("t.json", "[", "not valid JSON"),
        ("t.json", '[{"stdin": "3"}]', "test 1 has no `expected`"),
        ("t.json", '[{"stdin": "3", "expected": "1", "out": 2}]', "`0.out`"),
        ("t.json", "[]", "at least 1 item"),
        ("t.json", '{"kind": "call"}', "`entry_point`"),
    ],
)
def test_a_wrong_file_of_tests_is_said_with_its_place(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as fault:
        read_suite(tmp_path / name)
    assert said in str(fault.value)
    assert name in str(fault.value)


def test_a_function_named_like_python_s_own_is_the_one_tested(here: Path, falcon) -> None:
    (here / "p.py").write_text("def sum(x):\n    return 7\n")
    (here / "t.py").write_text("assert sum([1, 2, 3]) == 6\n")
    assert falcon("sandbox", "run", "p.py", "--tests", "t.py").code == 1
    # Where they test another function, it is a tool of theirs that no program replaces.
    (here / "p.py").write_text("def sum(x):\n    return 6\ndef f():\n    return [1]\n")
    (here / "t.py").write_text("assert sum(f()) == 6\n")
    assert falcon("sandbox", "run", "p.py", "--tests", "t.py").code == 1
    (here / "p.py").write_text("raise SystemExit\n")
    (here / "t.py").write_text("def six(): return 6\nassert six() == 6\n")
    assert falcon("sandbox", "run", "p.py", "--tests", "t.py").code == 1
    # Tests of Python alone test nothing, whatever the program is.
    (here / "t.py").write_text("assert sum([1, 2, 3]) == 6\n")
    done = falcon("sandbox", "run", "p.py", "--tests", "t.py")
    assert done.code == 2
    assert "the tests asserted nothing" in done.out


@pytest.mark.parametrize("code", ["x = " + "(" * 100_000, "x = " + "-" * 100_000 + "1"])
def test_a_program_that_is_too_deep_has_a_verdict(here: Path, falcon, code: str) -> None:
    (here / "p.py").write_text(code)
    (here / "t.py").write_text("def check(candidate):\n    assert candidate(4) == 2\n")
    done = falcon("sandbox", "run", "p.py", "--tests", "t.py")
    assert done.code == 1
    assert "syntax_error" in done.out


def test_a_whole_program_has_no_entry_point(here: Path, falcon) -> None:
    (here / "p.py").write_text("print(3)\n")
    (here / "t.json").write_text(json.dumps([{"stdin": "", "expected": "3"}]))
    done = falcon("sandbox", "run", "p.py", "--tests", "t.json", "--entry-point", "f")
    assert done.code == 2
    assert "feeds a whole program" in done.err
