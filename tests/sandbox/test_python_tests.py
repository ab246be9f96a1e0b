"""Files of tests in Python: what is run of them, and what is refused by its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from falcon.errors import UserError
from falcon.sandbox import Program, Sandbox, python_tests
from falcon.sandbox.suite_file import read_suite
from falcon.suite import CallSuite, CodeSuite

RIGHT = "def f(x):\n    return x + 1"


def suite_of(folder: Path, lines: str, entry_point: str = "") -> CodeSuite:
    file = folder / "tests.py"
    file.write_text(lines, encoding="utf-8")
    suite = read_suite(file, entry_point=entry_point)
    assert isinstance(suite, CodeSuite)
    return suite


@pytest.mark.parametrize(
    ("lines", "line", "what"),
    [
        ("def test_a(tmp_path):\n    assert f(1)", 1, "`test_a` needs `tmp_path`"),
        ("import pytest\n@pytest.fixture\ndef g(): return 1", 2, "`fixture`"),
        ("import pytest\n@pytest.mark.skip\ndef test_a(): assert f(1)", 2, "`skip`"),
        ("import pytest\n@pytest.mark.xfail\ndef test_a(): assert f(1)", 2, "`xfail`"),
        ("import pytest\npytestmark = pytest.mark.slow\nassert f(1)", 2, "marks"),
        (
            "import pytest\n@pytest.mark.parametrize('x', [pytest.param(1, marks=[])])\n"
            "def test_a(x): assert f(x)", 2, "marks",
        ),
        (
            "import pytest\nN = 'x'\n@pytest.mark.parametrize(N, [1])\ndef test_a(x): assert f(x)",
            3, "`parametrize` of another form",
        ),
        (
            "import unittest\nclass T(unittest.TestCase):\n    @unittest.skip('no')\n"
            "    def test_a(self): self.assertTrue(f(1))", 3, "`skip`",
        ),
        (
            "import unittest\nclass T(unittest.TestCase):\n"
            "    async def test_a(self): self.assertTrue(f(1))", 3, "nothing awaits `test_a`",
        ),
        ("class TestF:\n    def __init__(self): pass\n    def test_a(self): assert f(1)", 1, "__init__"),
        ("class TestF:\n    def test_a(self, db): assert f(1)", 2, "`test_a` needs `db`"),
        ("class A:\n    def run(self):\n        assert f(1)\n\nassert f(2)", 1, "nothing runs"),
        ("assert f(1)\ndef verify():\n    assert f(2)", 2, "`verify` asserts something and nothing"),
        ("if f(1):\n    def test_a():\n        assert f(2)\nassert f(3)", 2, "inside of a statement"),
        ("def test_a():\n    yield f(1)", 1, "yields"),
        ("def check(c):\n    assert c(1)\ndef test_a():\n    assert f(1)", 3, "beside check"),
        ("import doctest\nassert f(1)\ndoctest.testmod()", 3, "doc strings"),
        ("def setup_function(f): pass\ndef test_a(): assert f(1)", 1, "`setup_function`"),
        ("assert (f(1) == 2, 'no')", 1, "always true"),
        ("async def verify(x):\n    assert f(x)\n\nverify(1)", 4, "`verify` alone runs nothing"),
        ("def verify(x):\n    yield\n    assert f(x)\n\nverify(1)", 5, "`verify` alone runs nothing"),
        ("assert f(1)\nif __name__ in ('__main__',):\n    assert f(2)", 2, "main guard"),
        ("import unittest\nclass T(unittest.TestCase):\n    def runTest(self):\n        self.assertTrue(f(1))\nassert f(1)", 2, "nothing runs"),
        ("import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.skipTest('no')\nassert f(1)", 4, "`skipTest`"),
        ("import pytest\ndef test_a():\n    if not f(1): pytest.skip('no')\n    assert f(2)", 3, "`skip`"),
        ("from hypothesis import given\nassert f(1)", 1, "`hypothesis`"),
        ("assert f(1)\ndef test_a():\n    import pandas.testing", 3, "`pandas`"),
        ("import importlib, solution\nimportlib.reload(solution)\nassert solution.f(1)", 2, "`solution`"),
        ("import unittest\nclass T(unittest.TestCase):\n    def test_a(self): self.x = f(1)\n    @classmethod\n    def tearDownClass(cls): assert f(2)", 5, "`tearDownClass`"),
        ("x = 1\nassert f((", 2, ""),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused_by_line(
    tmp_path: Path, lines: str, line: int, what: str
) -> None:
    with pytest.raises(UserError) as refusal:
        suite_of(tmp_path, lines)
    assert str(refusal.value).startswith(f"{tmp_path}/tests.py, line {line}: ")
    assert what in str(refusal.value)
    assert refusal.value.hint


def test_pytest_is_asked_for_where_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(python_tests, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="line 2: pytest is not installed"):
        suite_of(tmp_path, "\nfrom pytest import raises\nassert f(1)")


def test_a_file_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    for lines in ("x = " + "(" * 100_000, "x = " + "-" * 100_000 + "1"):
        with pytest.raises(UserError, match=r"tests\.py"):
            suite_of(tmp_path, lines)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    assert suite_of(tmp_path, "\ufeffassert f(1) == 2").asserts == ("assert f(1) == 2",)


def test_each_test_runs_whatever_the_one_before_it_does(tmp_path: Path, sandbox: Sandbox) -> None:
    suite = suite_of(
        tmp_path,
        "import unittest\n"
        "def test_a():\n    x = f(1)\n    assert x == 2\n"
        "def test_b():\n    assert f(2) == 3\n"
        "class T(unittest.TestCase):\n"
        "    def test_c(self):\n        x = f(1)\n        self.assertEqual(x, 2)\n"
        "    def test_d(self):\n        self.assertEqual(f(4), 5)\n        self.assertEqual(f(5), 6)\n",
    )
    code = "def f(x):\n    if x == 1: raise KeyError(x)\n    return x + 1"
    verdict = sandbox.judge(Program(code, suite))
    endings = [case.outcome.value for case in verdict.cases]
    assert endings == ["runtime_error", "pass", "runtime_error", "pass", "pass"]
    assert sandbox.judge(Program(RIGHT, suite)).n_pass == 5


def test_the_entry_point_is_heeded(tmp_path: Path, sandbox: Sandbox) -> None:
    own = "def sum(x):\n    return 7"
    suite = suite_of(tmp_path, "assert sum([1, 2, 3]) == 6", "sum")
    assert not sandbox.judge(Program(own, suite)).passed
    suite = suite_of(tmp_path, "assert candidate(2) == 3", "f")
    assert sandbox.judge(Program(RIGHT, suite)).passed
    for lines in ("assert g(2) == 3", "def f(x): return x\nassert f(1) == 1"):
        with pytest.raises(UserError, match="do not call the program's `f`"):
            suite_of(tmp_path, lines, "f")
    file = tmp_path / "tests.json"
    file.write_text('{"kind": "call", "entry_point": "g", "calls": [{"args": [2], "expected": 3}]}')
    suite = read_suite(file, entry_point="f")
    assert isinstance(suite, CallSuite)
    assert suite.entry_point == "f"


def test_what_passes_before_any_call_is_no_point(tmp_path: Path, sandbox: Sandbox) -> None:
    """Each of these would be a share of the reward for a program that does nothing right."""
    for lines in (
        "try:\n    import numpy\nexcept ImportError:\n    numpy = None\n",
        "LIMIT = 3\nassert LIMIT == 3\n",
        "def same(x): return x\nassert same(3) == 3\n",
        "import pytest\nwith pytest.raises(ValueError):\n    int('x')\n",
        "def test_nothing():\n    pass\n",
    ):
        suite = suite_of(tmp_path, lines + "def test_f():\n    assert f(3) == 4\n")
        wrong = sandbox.judge(Program("def f(x):\n    return x", suite))
        assert (wrong.n_pass, wrong.n_fail) == (0, 1), lines
        assert sandbox.judge(Program(RIGHT, suite)).n_pass == 1


def test_the_program_s_module_has_the_name_of_the_file(tmp_path: Path, sandbox: Sandbox) -> None:
    file = tmp_path / "test_fibonacci.py"
    file.write_text("import fibonacci\nassert fibonacci.f(3) == 4\n", encoding="utf-8")
    assert sandbox.judge(Program(RIGHT, read_suite(file))).passed
