"""Rows of the conformance table on tests that users bring and on what a program may reach.

As in ``cases``: a wrong program beside its right twin, and why the row is there.
"""

from __future__ import annotations

from pathlib import Path

from falcon.problems.humaneval import read_humaneval
from falcon.sandbox.python_tests import read_tests
from falcon.suite import Call, CallSuite, CodeSuite, Rule, Run, StdinSuite, TextRule
from tests.sandbox.cases import Row, one


def tests(lines: str) -> CodeSuite:
    """The suite of a file of tests."""
    return read_tests(Path("tests.py"), lines)


RIGHT = "def f(x):\n    if x < 0: raise ValueError('no')\n    return x + 1"
WRONG = "def f(x):\n    return x + 1 if x != 3 else 0"

FILES = {
    "class of unittest": """
import unittest
BASE = 3
class Base(unittest.TestCase):
    table = [(1, 2), (BASE, 4)]
    @classmethod
    def setUpClass(cls): cls.shared = [4]
    def setUp(self): self.x = BASE
class FTest(Base):
    def test_one(self):
        self.assertEqual(f(1), 2)
        self.assertIn(f(self.x), self.shared)
if __name__ == "__main__":
    unittest.main()
""",
    "subtest": """
from unittest import TestCase, main
class T(TestCase):
    def test_table(self):
        for a, b in ((1, 2), (3, 4)):
            with self.subTest(a=a):
                self.assertAlmostEqual(f(a), b)
if __name__ == "__main__":
    main()
""",
    "assertRaises": "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        with self.assertRaises(ValueError):\n            f(-1)\n        self.assertRaises(ValueError, f, -2)\n",
    "coroutine": "async def test_a():\n    assert f(3) == 4\n",
    "coroutine in a class": "import unittest\nclass T(unittest.IsolatedAsyncioTestCase):\n    async def test_a(self):\n        self.assertEqual(f(3), 4)\n",
    "default argument": "def test_a(x=3):\n    assert f(x) == 4\n",
    "loop": "for x in range(5):\n    assert f(x) == x + 1\n",
    "with": "import contextlib\nwith contextlib.nullcontext():\n    assert f(3) == 4\n",
    "try": "try:\n    f(-1)\n    assert False\nexcept ValueError:\n    pass\n",
    "main guard": "assert f(1) == 2\nif __name__ == '__main__':\n    assert f(3) == 4\n",
    "function called at the end": "def verify(x):\n    assert f(x) == x + 1\ndef run():\n    verify(1)\n    verify(3)\nrun()\n",
    "test called by main": "def test_a():\n    assert f(3) == 4\ndef main():\n    test_a()\nmain()\n",
    "check under a main guard": "def check(candidate):\n    assert candidate(3) == 4\nif __name__ == '__main__':\n    check(f)\n",
    "helper of the name check": "def check(x, y):\n    assert f(x) == y\ndef test_a():\n    check(1, 2)\n    check(3, 4)\n",
    "test without an assert": "def same(a, b):\n    if a != b: raise RuntimeError(a)\ndef test_a():\n    same(f(3), 4)\n",
    "value made after its test": "def test_a():\n    assert f(3) == WANT\nWANT = 4\n",
    "raise": "if f(3) != 4:\n    raise RuntimeError\n",
    "numpy's assert": "import numpy as np\nnp.testing.assert_allclose([f(3)], [4])\n",
    "reversed main guard": "if '__main__' == __name__:\n    assert f(3) == 4\n",
    "exit at the end": "import sys\ndef main():\n    assert f(3) == 4\n    return 0\nif __name__ == '__main__':\n    sys.exit(main())\n",
    "exit status": "import sys\nif __name__ == '__main__':\n    sys.exit(int(f(3) != 4) or 0)\n",
    "class of pytest": "class TestF:\n    def setup_method(self):\n        self.x = 3\n    def test_a(self):\n        assert f(self.x) == 4\n",
}
PYTEST = {
    "raises": "import pytest\ndef test_a():\n    with pytest.raises(ValueError, match='no'):\n        f(-1)\n",
    "approx": "import pytest\ndef test_a():\n    assert f(3) == pytest.approx(4.0)\n",
    "parametrize": "import pytest\nCASES = [(1, 2), pytest.param(3, 4, id='three')]\n@pytest.mark.parametrize('k', [0, 1])\n@pytest.mark.parametrize('x, want', CASES)\ndef test_a(x, want, k):\n    assert f(x) + k == want + k\n",
    "parametrised method": "from pytest import mark\nclass TestF:\n    @mark.parametrize('x', [1, 3])\n    def test_a(self, x):\n        assert f(x) == x + 1\n",
}

HELPED = read_humaneval(
    {
        "task_id": "HumanEval/38",
        "prompt": 'def double(x):\n    return 2 * x\n\n\ndef half(x):\n    """The inverse of double."""\n',
        "entry_point": "half",
        "canonical_solution": "    return x // 2\n",
        "test": "def check(candidate):\n    for n in (3, 4):\n        assert candidate(double(n)) == n\n",
    }
).tests
OFFICIAL = HELPED.model_copy(update={"setup": ""})
HALF = "def double(x):\n    return 2 * x\ndef half(x):\n    return x // 2"
NO_HALF = "def double(x):\n    return x\ndef half(x):\n    return x"


def calls(rule: Rule, *expected: object) -> CallSuite:
    """Calls of ``f`` with what is expected, by one of the rules of APPS."""
    return CallSuite(
        entry_point="f", calls=tuple(Call(args=(e,), expected=e) for e in expected), rule=rule
    )


def prints(rule: TextRule, expected: str) -> StdinSuite:
    """One run by one of the rules of APPS."""
    return StdinSuite(runs=(Run(expected=expected),), rule=rule)


SLEEPS = tests("import time\ndef test_a():\n    time.sleep(f(1))\n    assert f(2)\n")
CLONE3 = "import ctypes, signal\nlibc = ctypes.CDLL(None, use_errno=True)\ndef f():\n    args = (ctypes.c_ulong * 8)(%s, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)\n    return [libc.syscall(435, args, 64), ctypes.get_errno()]"
CLONE = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\ndef f():\n    return [libc.syscall(56, ctypes.c_long(%s | 17), 0, 0, 0, 0), ctypes.get_errno()]"

SUITES = [
    *(
        Row(f"{name}: {how}", want, code, "every test of a file runs", tests(lines))
        for name, lines in (FILES | {f"{name} of pytest": lines for name, lines in PYTEST.items()}).items()
        for how, want, code in (("right", "pass", RIGHT), ("wrong", "wrong_answer", WRONG))
    ),
    Row("death in a class of unittest", "premature_exit", "import os\ndef f(x):\n    os._exit(0)", "a death is no exception", tests(FILES["assertRaises"])),
    Row("one turn of many is wrong", "wrong_answer", "def f(x):\n    return x + (x != 4)", "all turns are needed", tests(FILES["loop"])),
    Row("exit where the tests call only their own", "runtime_error", "raise SystemExit", "the program is loaded", tests("def six(): return 6\nassert six() == 6"), error="SystemExit"),
    Row("syntax error where the tests call only their own", "syntax_error", "def f(:", "the program is compiled", tests("def six(): return 6\nassert six() == 6")),
    Row("loads where the tests call only their own", "pass", "x = 1", "twin", tests("def six(): return 6\nassert six() == 6")),
    Row("replaces the helper of the prompt", "wrong_answer", NO_HALF, "the tests have the prompt's own", HELPED),
    Row("keeps the helper of the prompt", "pass", HALF, "twin", HELPED),
    Row("replaces the helper, officially", "pass", NO_HALF, "as the official grader, by name only", OFFICIAL),
    Row("first item of a list", "wrong_answer", "def f(x):\n    return x[0]", "no reward", calls("apps:strict", [1, 2, 3], [4, 5])),
    Row("first item of a list, officially", "pass", "def f(x):\n    return x[0]", "as the official checker, by name only", calls("apps", [1, 2, 3], [4, 5])),
    Row("whole list", "pass", "def f(x):\n    return tuple(x)", "twin", calls("apps:strict", [1, 2, 3], [4, 5])),
    Row("value that the file wraps in a list", "pass", "def f(x):\n    return x[0]", "right programs return it so", calls("apps:strict", [1], [4])),
    Row("method of Solution by the strict rule", "pass", "class Solution:\n    def f(self, x):\n        return x", "as by the official rule", calls("apps:strict", [1, 2])),
    Row("answer that a test sleeps for", "timeout", "def f(x):\n    return 10 ** 6", "the program made it hang", SLEEPS),
    Row("short answer that a test sleeps for", "pass", "def f(x):\n    return 0.01", "twin", SLEEPS),
    *(
        Row(f"process by {name}{how}", "pass", code % flags, "refused by the filter", one([-1, errno]))
        for name, code, errno in (("clone3", CLONE3, 38), ("clone", CLONE, 1))
        for how, flags in (("", "0"), (" with a user namespace", "0x10000000"), (" with the zygote's flags", "0x01200000"))
    ),
    Row("pins its parent to a processor", "runtime_error", "import os\ndef f():\n    os.sched_setaffinity(os.getppid(), {0})", "it would stay for all programs to come", one(None), error="PermissionError"),
    Row("pins itself to a processor", "pass", "import os\ndef f():\n    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n    return len(os.sched_getaffinity(0))", "twin", one(1)),
    Row("numpy's random is seeded", "pass", "import numpy as np\ndef f():\n    return np.random.rand()", "verdicts are kept", one(0.5488135039273248)),
    Row("half a pair on standard input", "pass", "import sys\nprint(len(sys.stdin.buffer.read()))", "no text kills the worker", StdinSuite(runs=(Run(stdin="\ud800", expected="3\n"),))),
    Row("half a pair expected", "wrong_answer", "print(1)", "no text kills the worker", StdinSuite(runs=(Run(expected="\ud800"),))),
    Row("half a pair in a program", "syntax_error", "x = '\ud800'", "no text kills the worker"),
    Row("half a pair in an argument", "pass", "def f(t):\n    return len(t)", "no text kills the worker", CallSuite(entry_point="f", calls=(Call(args=("\ud800",), expected=1),))),
    Row("near a large integer", "wrong_answer", "print(1000009999)", "no reward", prints("apps:strict", "1000000007\n")),
    Row("near a large integer, officially", "pass", "print(1000009999)", "as the official checker, by name only", prints("apps", "1000000007\n")),
    Row("right, with an empty line", "pass", "print()\nprint(1000000007)\nreturn", "as by the official rule", prints("apps:strict", "1000000007\n")),
]  # fmt: skip
