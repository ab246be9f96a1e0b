"""Rows by someone who had not read the others: tests that users bring, values, right programs.

As in ``cases``: a wrong program beside its right twin, and why the row is there.
"""

from __future__ import annotations

from falcon.suite import Call, CallSuite
from tests.sandbox.cases import Row, one
from tests.sandbox.suite_cases import RIGHT, WRONG, prints, tests

# name, the tests of a file: f(x) is x + 1, raises ValueError('no') below 0, and is wrong at 3
_FILES = {
    "suppress": "import contextlib\ndef test_a():\n    with contextlib.suppress(ValueError):\n        f(-1)\n        assert False\n    assert f(3) == 4\n",
    "try with else": "def test_a():\n    try:\n        f(-1)\n    except ValueError as e:\n        assert 'no' in str(e)\n    else:\n        assert False\n    assert f(3) == 4\n",
    "try with finally": "def test_a():\n    try:\n        got = f(3)\n    finally:\n        x = 1\n    assert got == 4\n",
    "catches its own assert": "def test_a():\n    try:\n        assert f(3) == 4\n    except AssertionError:\n        raise RuntimeError('wrong')\n",
    "error as context": "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        with self.assertRaises(ValueError) as c:\n            f(-1)\n        self.assertEqual(str(c.exception), 'no')\n        self.assertEqual(c.exception.args, ('no',))\n        self.assertEqual(f(3), 4)\n",
    "error by pattern": "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertRaisesRegex(ValueError, '^no$', f, -1)\n        self.assertTrue(f(3) == 4)\n",
    "fixtures of unittest": "import unittest\nclass T(unittest.TestCase):\n    def setUp(self):\n        self.made = []\n        self.addCleanup(self.made.clear)\n    def tearDown(self):\n        self.assertEqual(self.made, [4])\n    def test_a(self):\n        self.made.append(f(3))\n",
    "hooks of the module": "import unittest\ndef setUpModule():\n    global WANT\n    WANT = 4\nclass T(unittest.TestCase):\n    def test_a(self): self.assertEqual(f(3), WANT)\n",
    "almost equal": "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertAlmostEqual(f(3) / 3, 1.3333333, places=5)\n        self.assertAlmostEqual(f(3), 4.1, delta=0.2)\n",
    "asserts of collections": "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertCountEqual([f(3), f(1)], [2, 4])\n        self.assertDictEqual({'a': f(3)}, {'a': 4})\n        self.assertListEqual([f(3)], [4])\n        self.assertIsNotNone(f(3))\n        self.assertIsInstance(f(3), int)\n        self.assertGreater(f(3), 3)\n",
    "subtests of a table": "import unittest\nclass T(unittest.TestCase):\n    CASES = {1: 2, 3: 4, 5: 6}\n    def test_a(self):\n        for x, y in self.CASES.items():\n            with self.subTest(x=x):\n                self.assertEqual(f(x), y)\n",
    "inherited test": "import unittest\nclass Base:\n    want = 0\n    def test_a(self): self.assertEqual(f(3), self.want)\nclass T(Base, unittest.TestCase):\n    want = 4\n",
    "helper method": "import unittest\nclass T(unittest.TestCase):\n    def check(self, x, y):\n        self.assertEqual(f(x), y, msg=f'{x}')\n    def test_a(self):\n        self.check(1, 2)\n        self.check(3, 4)\n",
    "asynchronous class": "import asyncio, unittest\nclass T(unittest.IsolatedAsyncioTestCase):\n    async def asyncSetUp(self): self.x = 3\n    async def test_a(self):\n        await asyncio.sleep(0)\n        self.assertEqual(f(self.x), 4)\n",
    "gathered": "import asyncio\nasync def one(x): return f(x)\nasync def test_a():\n    assert await asyncio.gather(*map(one, (1, 2, 3))) == [2, 3, 4]\n",
    "run by hand": "import asyncio\nasync def main():\n    assert f(3) == 4\ndef test_a():\n    asyncio.run(main())\n",
    "all of a comprehension": "assert all(f(x) == x + 1 for x in range(6))\n",
    "list at once": "assert [f(x) for x in range(5)] == [1, 2, 3, 4, 5]\n",
    "map": "assert list(map(f, range(5))) == list(range(1, 6))\n",
    "sorted by it": "assert sorted([3, 1, 2], key=f) == [1, 2, 3]\n",
    "another name": "g = f\nassert g(3) == 4\n",
    "passed to a helper": "def check_all(function, table):\n    for x, y in table: assert function(x) == y\ncheck_all(f, [(1, 2), (3, 4)])\n",
    "partial": "from functools import partial\nassert partial(f, 3)() == 4\n",
    "keyword": "assert f(x=3) == 4\n",
    "stars": "assert f(*[3]) == f(**{'x': 3}) == 4\n",
    "walrus": "assert (got := f(3)) == 4, f'{got} is wrong'\n",
    "chained": "assert 3 < f(3) < 5\n",
    "member": "assert f(3) in {4, 5}\n",
    "not unequal": "assert not f(3) != 4\n",
    "conjunction": "assert f(1) == 2 and f(3) == 4\n",
    "conditional": "assert 4 == (f(3) if f(1) == 2 else 0)\n",
    "text of it": "assert f'{f(3)}' == '4' and str(f(3)) == '4' and '%d' % f(3) == '4'\n",
    "type of it": "assert type(f(3)) is int and isinstance(f(3), int) and f(3) == 4\n",
    "match": "match f(3):\n    case 4:\n        pass\n    case _:\n        raise AssertionError\n",
    "while": "x = 0\nwhile x < 5:\n    assert f(x) == x + 1\n    x += 1\n",
    "for with else": "for x in range(5):\n    if f(x) != x + 1: break\nelse:\n    x = None\nassert x is None\n",
    "nested functions": "def outer():\n    def inner(x):\n        def core():\n            assert f(x) == x + 1\n        core()\n    inner(1)\n    inner(3)\nouter()\n",
    "lambda": "check = lambda x, y: f(x) == y\nassert check(1, 2)\nassert check(3, 4)\n",
    "generator of cases": "def cases():\n    for x in range(5): yield x, x + 1\nfor x, y in cases():\n    assert f(x) == y\n",
    "state between tests": "SEEN = []\ndef test_a():\n    SEEN.append(f(3))\ndef test_b():\n    assert SEEN == [4]\n",
    "counter of failures": "bad = 0\nfor x in range(5):\n    if f(x) != x + 1: bad += 1\nassert bad == 0\n",
    "table of json": "import json\nTABLE = json.loads('[[1, 2], [3, 4]]')\nfor x, y in TABLE:\n    assert f(x) == y\n",
    "random table": "import random\nrandom.seed(1)\nfor _ in range(30):\n    x = random.randint(0, 5)\n    assert f(x) == x + 1\n",
    "data of a class": "from dataclasses import dataclass\n@dataclass\nclass Case:\n    x: int\n    y: int\nfor c in [Case(1, 2), Case(3, 4)]:\n    assert f(c.x) == c.y\n",
    "decorated test": "import functools\ndef twice(test):\n    @functools.wraps(test)\n    def run():\n        test()\n        test()\n    return run\n@twice\ndef test_a():\n    assert f(3) == 4\n",
    "context of its own": "from contextlib import contextmanager\n@contextmanager\ndef given(x):\n    yield f(x)\ndef test_a():\n    with given(3) as got:\n        assert got == 4\n",
    "reference of its own": "def slow(x):\n    y = x\n    for _ in range(1): y += 1\n    return y\nfor x in range(5):\n    assert f(x) == slow(x)\n",
    "composed": "assert f(f(f(1))) == 4\nassert f(f(2)) == 4\n",
    "sum of many": "assert sum(f(x) for x in range(100)) == 5050\n",
    "isclose": "import math\nassert math.isclose(f(3), 4)\n",
    "exit by hand": "import sys\nif f(3) != 4:\n    sys.exit('wrong')\nassert f(1) == 2\n",
    "test in main": "def main():\n    assert f(1) == 2\n    for x in (2, 3):\n        assert f(x) == x + 1\nif __name__ == '__main__':\n    main()\n    print('ok')\n",
    "message that is a call": "assert f(3) == 4, print('wrong')\n",
    "deep copy": "import copy\nx = copy.deepcopy(f(3))\nassert x == 4\n",
    "string in a set": "assert {f(x) for x in range(5)} == {1, 2, 3, 4, 5}\n",
    "dict of results": "assert {x: f(x) for x in (1, 3)} == {1: 2, 3: 4}\n",
    "starred result": "a, *b = [f(x) for x in range(4)]\nassert (a, b) == (1, [2, 3, 4])\n",
    "annotated test": "def test_a() -> None:\n    got: int = f(3)\n    want: int = 4\n    assert got == want\n",
    "static method of pytest": "class TestF:\n    @staticmethod\n    def test_a():\n        assert f(3) == 4\n",
    "raises as a value": "import pytest\ndef test_a():\n    with pytest.raises(ValueError) as e:\n        f(-1)\n    assert str(e.value) == 'no'\n    assert f(3) == 4\n",
    "approx of many": "import pytest\ndef test_a():\n    assert [f(1), f(3)] == pytest.approx([2.0, 4.0])\n    assert {'a': f(3) / 3} == pytest.approx({'a': 4 / 3})\n    assert f(3) == pytest.approx(4.001, abs=0.01)\n",
    "ids of parametrize": "import pytest\n@pytest.mark.parametrize(('x', 'want'), [(1, 2), (3, 4)], ids=['one', 'three'])\ndef test_a(x, want):\n    assert f(x) == want\n",
    "one error of two": "import pytest\n@pytest.mark.parametrize('x', [-1, -5])\ndef test_a(x):\n    with pytest.raises((ValueError, TypeError)):\n        f(x)\ndef test_b(): assert f(3) == 4\n",
    "pytest fails it": "import pytest\ndef test_a():\n    if f(3) != 4:\n        pytest.fail('wrong')\n",
    "parameter of the program's name": "def check_all(f, table):\n    for x, y in table: assert f(x) == y\ncheck_all(f, [(1, 2), (3, 4)])\n",
    "parameter of a lambda": "call = lambda f, x: f(x)\nassert call(f, 3) == 4\n",
    "local of the program's name": "def helper():\n    f = lambda x: x + 1\n    return f(3)\nassert f(3) == helper()\n",
    "method with such a parameter": "import unittest\nclass T(unittest.TestCase):\n    def run_it(self, f, x, y): self.assertEqual(f(x), y)\n    def test_a(self): self.run_it(f, 3, 4)\n",
    "import of the program": "from solution import f\nassert f(3) == 4\n",
    "import under another name": "from src.solution import f as g\ndef test_a(): assert g(3) == 4\n",
    "import by a leading dot": "from .fib import f\ndef test_a(): assert f(3) == 4\n",
    "import of all of it": "from main import *\nassert f(3) == 4\n",
    "import of the module": "import solution as s\nassert s.f(3) == 4\n",
    "import of one or the other": "try:\n    from solution import f\nexcept ImportError:\n    from main import f\nassert f(3) == 4\n",
    "import where it is used": "def test_a():\n    from solution import f\n    assert f(3) == 4\n",
    "path of the file": "import os, sys\nsys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))\nassert f(3) == 4\n",
    "table of tests": "def test_a():\n    assert f(3) == 4\nTESTS = [test_a]\nif __name__ == '__main__':\n    for test in TESTS: test()\n",
    "suppressed assert": "import contextlib\ndef test_a():\n    with contextlib.suppress(AssertionError):\n        assert f(3) == 5\n    assert f(3) == 4\n",
    "assert of a helper that is meant to fail": "def same(a, b): assert a == b\ndef test_a():\n    try:\n        same(f(3), 5)\n    except AssertionError:\n        pass\n    same(f(3), 4)\n",
    "threads of the test": "from concurrent.futures import ThreadPoolExecutor\ndef test_a():\n    with ThreadPoolExecutor(8) as pool:\n        assert list(pool.map(f, range(200))) == list(range(1, 201))\n",
    "expectation as a parameter": "import pytest\nfrom contextlib import nullcontext as fine\n@pytest.mark.parametrize('x, expected', [(3, fine()), (-1, pytest.raises(ValueError))])\ndef test_a(x, expected):\n    with expected:\n        assert f(x) == 4\n",
    "context that catches": "from contextlib import contextmanager\n@contextmanager\ndef fails(kind):\n    try:\n        yield\n    except kind:\n        return\n    raise AssertionError('no error')\ndef test_a():\n    with fails(ValueError):\n        assert f(-1) == 0\n    assert f(3) == 4\n",
    "group of exceptions": "def test_a():\n    try:\n        assert f(-1) == 0\n    except* ValueError:\n        pass\n    assert f(3) == 4\n",
    "asynchronous context": "import contextlib\n@contextlib.asynccontextmanager\nasync def fails():\n    try: yield\n    except ValueError: return\nasync def test_a():\n    async with fails():\n        assert f(-1) == 0\n    assert f(3) == 4\n",
    "test of a class that is called by hand": "class Checks:\n    def test_a(self): assert f(3) == 4\nChecks().test_a()\n",
    "mock that calls it": "from unittest import mock\nm = mock.Mock(side_effect=f)\nassert m(3) == 4\nm.assert_called_once_with(3)\n",
    "own handler of errors": "def raises(kind, function, *args):\n    try:\n        function(*args)\n    except kind:\n        return True\n    return False\nassert raises(ValueError, f, -1)\nassert not raises(ValueError, f, 1)\nassert f(3) == 4\n",
    "asynchronous generator": "async def cases():\n    for x in range(5): yield x\nasync def test_a():\n    async for x in cases():\n        assert f(x) == x + 1\n",
    "thread of the event loop": "import asyncio\nasync def test_a():\n    assert await asyncio.to_thread(f, 3) == 4\n",
    "dispatch by a dict": "T = {'f': f}\nassert T['f'](3) == 4\n",
    "accumulate": "import itertools\nassert list(itertools.accumulate([1] * 4, lambda a, _: f(a))) == [1, 2, 3, 4]\n",
    "filter": "assert list(filter(lambda x: f(x) == 4, range(6))) == [3]\n",
    "used as an index": "assert [0, 1, 2, 3, 9][f(3)] == 9 and list(range(f(3))) == [0, 1, 2, 3]\n",
    "arithmetic": "assert f(3) ** 2 - f(1) * 3 == 10 and -f(3) == -4 and divmod(f(3), 3) == (1, 1)\n",
}  # fmt: skip

# A death that a test might take for an exception, or for nothing.
_DEATHS = {
    "exits": ("premature_exit", "import os\ndef f(x):\n    os._exit(0)"),
    "raises SystemExit": ("runtime_error", "def f(x):\n    raise SystemExit(0)"),
    "raises what all catch": ("!pass", "def f(x):\n    raise Exception('no')"),
    "returns an object": ("unserialisable_result", "def f(x):\n    return object()"),
    "claims an assert": ("!pass", "def f(x):\n    raise AssertionError"),
}
_TOLERANT = {
    "except all": "def test_a():\n    try:\n        got = f(3)\n    except BaseException:\n        got = 4\n    assert got == 4\n    assert f(1) == 2\n",
    "suppress all": "import contextlib\ndef test_a():\n    with contextlib.suppress(BaseException):\n        assert f(3) == 4\n    assert f(1) == 2\n",
}


def _calls(*pairs: tuple[object, object], entry: str = "f") -> CallSuite:
    """A suite of calls with one argument: argument and expected value."""
    return CallSuite(entry_point=entry, calls=tuple(Call(args=(a,), expected=e) for a, e in pairs))


# name, expected, right, wrong: what a function without arguments returns
_VALUES = (
    ("true for one", 1, "True", "'1'"),
    ("one for true", True, "1", "2"),
    ("float for a large integer", 2**53 + 1, "2**53 + 1", "float(2**53 + 1)"),
    ("integer of 400 digits", 10**400, "10**400", "10**400 + 1"),
    ("float that overflows", 10**400, "10 ** 400", "float('inf')"),
    ("nan within a list", [float("nan")], "[float('nan')]", "[0.0]"),
    ("negative zero", 0.0, "-0.0", "5e-324"),
    ("sum of decimals", 0.3, "0.3", "0.1 + 0.2"),
    ("text for bytes", b"a", "b'a'", "'a'"),
    ("list for a set", {1, 2}, "frozenset([2, 1])", "[1, 2]"),
    ("list for a tuple", (1, 2), "(1, 2)", "[1, 2]"),
    ("list for a tuple within", [(1, 2)], "[(1, 2)]", "[[1, 2]]"),
    ("nothing for false", False, "False", "None"),
    ("empty text for nothing", None, "None", "''"),
    ("empty list for nothing", None, "print()", "[]"),
    ("zero for nothing", None, "[].sort()", "0"),
    ("zero for an empty list", [], "list()", "0"),
    ("text keys for numbers", {1: "a"}, "{1: 'a'}", "{'1': 'a'}"),
    ("a key too many", {1: 2}, "{1: 2}", "{1: 2, 3: 4}"),
    ("a key for another", {"a": None}, "{'a': None}", "{'b': None}"),
    ("list of keys", ["a"], "list({'a': 1})", "{'a': 1}"),
    ("range for a list", [0, 1, 2], "list(range(3))", "range(3)"),
    ("map for a list", [0, 1], "[*map(int, '01')]", "map(int, '01')"),
    ("reversed for a list", [2, 1], "[1, 2][::-1]", "reversed([1, 2])"),
    ("text for its letters", ["a", "b"], "list('ab')", "'ab'"),
    ("blank at the end", "ab", "'ab'", "'ab '"),
    ("letters that look alike", "a", "'a'", "'\\u0430'"),
    ("composed letter", "é", "'\\xe9'", "'e\\u0301'"),
    ("number for its digits", "12", "'12'", "12"),
    ("fraction for its value", 0.5, "__import__('fractions').Fraction(1, 2)", "__import__('fractions').Fraction(1, 3)"),
    ("decimal for its value", 3, "__import__('decimal').Decimal('3.0')", "__import__('decimal').Decimal('3.1')"),
    ("decimal that signals", 3, "__import__('decimal').Decimal(3)", "__import__('decimal').Decimal('sNaN')"),
    ("decimal that signals, within", [3], "[__import__('decimal').Decimal(3)]", "[__import__('decimal').Decimal('sNaN')]"),
    ("decimal for text", "3.0", "str(__import__('decimal').Decimal('3.0'))", "__import__('decimal').Decimal('3.0')"),
    ("complex for a number", 3, "3 + 0j", "3 + 1e-9j"),
    ("numpy's number", 3, "__import__('numpy').int64(3)", "__import__('numpy').int64(4)"),
    ("numpy's truth", True, "__import__('numpy').bool_(True)", "__import__('numpy').bool_(False)"),
    ("numpy's half precision", 0.5, "__import__('numpy').float16(0.5)", "__import__('numpy').float32(0.1)"),
    ("numpy's matrix", [[1, 2], [3, 4]], "__import__('numpy').arange(1, 5).reshape(2, 2)", "__import__('numpy').arange(1, 5)"),
    ("colliding hashes", 1, "1", "{i * (2**61 - 1) for i in range(3000)}"),
    ("function for its value", 1, "(lambda: 1)()", "lambda: 1"),
    ("class for its value", 1, "int('1')", "int"),
    ("not implemented", 1, "1", "NotImplemented"),
    ("ellipsis", 1, "1", "..."),
    ("list of 5,000", list(range(5000)), "list(range(5000))", "list(range(4999)) + [0]"),
    ("counter for a dict", {"a": 2}, "__import__('collections').Counter('aa')", "__import__('collections').Counter('a')"),
)  # fmt: skip

# name, a class that pretends to be 3, whatever it is asked
_SUBCLASSES = {
    "float": "class E(float):\n    def __eq__(s, o): return True\n    __hash__ = float.__hash__\ndef add(a, b):\n    return E(0)",
    "bytes": "class E(bytes):\n    def __eq__(s, o): return True\n    __hash__ = None\ndef add(a, b):\n    return E()",
    "tuple": "class E(tuple):\n    def __eq__(s, o): return True\n    def __len__(s): return 1\n    __hash__ = None\ndef add(a, b):\n    return E()",
    "set": "class E(set):\n    def __eq__(s, o): return True\n    def __iter__(s): return iter([3])\n    __hash__ = None\ndef add(a, b):\n    return E()",
    "Fraction": "from fractions import Fraction\nclass E(Fraction):\n    def __eq__(s, o): return True\n    __hash__ = None\ndef add(a, b):\n    return E(0)",
    "Decimal": "from decimal import Decimal\nclass E(Decimal):\n    def __eq__(s, o): return True\n    __hash__ = None\ndef add(a, b):\n    return E(0)",
    "ndarray": "import numpy as np\nclass E(np.ndarray):\n    def __eq__(s, o): return True\n    def tolist(s): return 3\n    __hash__ = None\ndef add(a, b):\n    return np.zeros(1).view(E)",
    "IntEnum": "from enum import IntEnum\nclass E(IntEnum):\n    A = 0\n    def __eq__(s, o): return True\n    __hash__ = None\ndef add(a, b):\n    return E.A",
    "named tuple": "from typing import NamedTuple\nclass E(NamedTuple):\n    x: int = 0\n    def __eq__(s, o): return True\n    def __iter__(s): return iter([3])\ndef add(a, b):\n    return E()",
    "mock": "from unittest.mock import MagicMock\ndef add(a, b):\n    m = MagicMock()\n    m.__eq__ = lambda s, o: True\n    return m",
    "any": "from unittest.mock import ANY\ndef add(a, b):\n    return ANY",
}  # fmt: skip

# name, suite, right program, wrong program, why
_PROGRAMS = (
    ("state that is kept", _calls((1, 1), (2, 2), (1, 1)), "from functools import cache\n@cache\ndef f(x):\n    return x", "n = 0\ndef f(x):\n    global n\n    n += 1\n    return x if n < 3 else 0", "the third call counts"),
    ("default that grows", _calls((1, [1]), (2, [2])), "def f(x, out=None):\n    out = out or []\n    out.append(x)\n    return out", "def f(x, out=[]):\n    out.append(x)\n    return out", "a bug that needs two calls"),
    ("changes its argument", _calls(([2, 1], [1, 2])), "def f(x):\n    x.sort()\n    return x", "def f(x):\n    x.sort()", "what is returned counts"),
    ("solution with a cache", _calls((30, 832040), entry="Solution().fib"), "from functools import lru_cache\nclass Solution:\n    @lru_cache(maxsize=None)\n    def fib(self, n: int) -> int:\n        return n if n < 2 else self.fib(n - 1) + self.fib(n - 2)", "class Solution:\n    def fib(self, n):\n        return n", "as on LeetCode"),
    ("solution with static parts", _calls((5, 120), entry="Solution().go"), "class Solution:\n    LIMIT = 10\n    @staticmethod\n    def _step(a, b): return a * b\n    @classmethod\n    def _all(cls, n): return 1 if n < 2 else cls._step(n, cls._all(n - 1))\n    def go(self, n): return self._all(n)", "class Solution:\n    def go(self, n):\n        return self.n", "as on LeetCode"),
    ("types of another module", _calls(([1, 2], 3), entry="Solution().go"), "from typing import List, Optional, Dict\nclass Solution:\n    def go(self, xs: List[int]) -> Optional[int]:\n        seen: Dict[int, int] = {}\n        return sum(xs)", "class Solution:\n    def go(self, xs: List[int]) -> int:\n        return sum(xs)", "without the import it is a NameError, as in Python"),
    ("node of its own", _calls(([3, 1, 2], 6)), "class Node:\n    __slots__ = ('value', 'next')\n    def __init__(self, value, next=None):\n        self.value, self.next = value, next\ndef f(xs):\n    head = None\n    for x in xs: head = Node(x, head)\n    t = 0\n    while head: t, head = t + head.value, head.next\n    return t", "class Node:\n    pass\ndef f(xs):\n    return Node()", "objects inside, numbers outside"),
    ("ordered dataclass in a heap", _calls(([3, 1, 2], [1, 2, 3])), "import heapq\nfrom dataclasses import dataclass, field\n@dataclass(order=True)\nclass Item:\n    key: int\n    rest: list = field(default_factory=list, compare=False)\ndef f(xs):\n    h = [Item(x) for x in xs]\n    heapq.heapify(h)\n    return [heapq.heappop(h).key for _ in xs]", "def f(xs):\n    return xs", "library and class together"),
    ("match with classes", _calls(({"op": "add", "by": 2}, 2), ([1, 2, 3], 3), ("x", -1)), "def f(x):\n    match x:\n        case {'op': 'add', 'by': int(n)}: return n\n        case [*xs] if xs: return len(xs)\n        case _: return -1", "def f(x):\n    match x:\n        case y: return y", "syntax of 3.10"),
    ("generic class", _calls(([1, 2], [2, 1])), "from typing import Generic, TypeVar, Iterator\nT = TypeVar('T')\nclass Stack(Generic[T]):\n    def __init__(self): self.items: list[T] = []\n    def push(self, x: T) -> 'Stack[T]':\n        self.items.append(x)\n        return self\n    def __iter__(self) -> Iterator[T]: return reversed(self.items)\ndef f(xs):\n    s = Stack[int]()\n    for x in xs: s.push(x)\n    return list(s)", "def f(xs):\n    return list(xs)", "typing at run time"),
    ("protocol and abstract class", _calls((3, 9)), "from abc import ABC, abstractmethod\nfrom typing import Protocol, runtime_checkable\n@runtime_checkable\nclass Shape(Protocol):\n    def area(self): ...\nclass Base(ABC):\n    @abstractmethod\n    def area(self): ...\nclass Square(Base):\n    def __init__(self, a): self.a = a\n    def area(self): return self.a ** 2\ndef f(a):\n    s = Square(a)\n    assert isinstance(s, Shape)\n    return s.area()", "from abc import ABC, abstractmethod\nclass Base(ABC):\n    @abstractmethod\n    def area(self): ...\ndef f(a):\n    return Base().area()", "classes at run time"),
    ("recursion of 50,000", _calls((50_000, 50_000)), "import sys\nsys.setrecursionlimit(10**6)\ndef f(n):\n    return 0 if n == 0 else 1 + f(n - 1)", "def f(n):\n    return 0 if n == 0 else 1 + f(n - 1)", "the limit is the program's own"),
    ("sorted list", _calls(([3, 1, 2], [1, 2, 3])), "from sortedcontainers import SortedList\ndef f(xs):\n    return list(SortedList(xs))", "from sortedcontainers import SortedList\ndef f(xs):\n    return SortedList(xs)", "a class of a library does not cross"),
    ("matrix power", _calls((90, 2880067194370816120)), "import numpy as np\ndef f(n):\n    m, r = np.array([[1, 1], [1, 0]], dtype=object), np.array([[1, 0], [0, 1]], dtype=object)\n    while n:\n        if n & 1: r = r.dot(m)\n        m, n = m.dot(m), n >> 1\n    return r[0][1]", "import numpy as np\ndef f(n):\n    return int(np.float64(1.618033988749895) ** n / 5 ** .5)", "objects in arrays"),
    ("decorators", _calls((3, 8)), "import functools\ndef memo(g):\n    seen = {}\n    @functools.wraps(g)\n    def h(*a):\n        if a not in seen: seen[a] = g(*a)\n        return seen[a]\n    return h\n@memo\ndef f(n: int, /) -> int:\n    return 2 ** n", "def f(*, n):\n    return 2 ** n", "a function behind functions"),
    ("callable of a class", _calls((3, 4)), "class F:\n    def __init__(self, by): self.by = by\n    def __call__(self, x): return x + self.by\nf = F(1)", "class F:\n    pass\nf = F()", "what can be called is a function"),
    ("partial for a function", _calls((3, 8)), "from functools import partial\nf = partial(pow, 2)", "from functools import partial\nf = partial(pow, 3)", "what can be called is a function"),
    ("builtin for a function", _calls(([3, 1], [1, 3])), "f = sorted", "f = list", "what can be called is a function"),
    ("coroutine inside", _calls((3, 4)), "import asyncio\nasync def step(x):\n    await asyncio.sleep(0)\n    return x + 1\ndef f(x):\n    return asyncio.run(step(x))", "async def f(x):\n    return x + 1", "a coroutine is no value"),
    ("singledispatch", _calls((3, "int"), ("a", "str")), "from functools import singledispatch\n@singledispatch\ndef f(x): return '?'\n@f.register\ndef _(x: int): return 'int'\n@f.register\ndef _(x: str): return 'str'", "def f(x):\n    return type(x)", "annotations at run time"),
    ("bisect with a key", _calls(([1, 4, 9], 2)), "import bisect\ndef f(xs):\n    return bisect.bisect_left(xs, 3, key=lambda v: v ** .5)", "import bisect\ndef f(xs):\n    return bisect.bisect_right(xs, 3)", "library of 3.10"),
    ("statistics and itertools", _calls(([1, 2, 3, 4], [2.5, [[1, 2], [3, 4]]])), "import itertools, statistics\ndef f(xs):\n    return [statistics.mean(xs), [list(p) for p in zip(*[iter(xs)] * 2)]]", "import itertools\ndef f(xs):\n    return [2.5, itertools.batched(xs, 2)]", "library of 3.11"),
    ("main guard beside", _calls((3, 4)), "def f(x):\n    return x + 1\nif __name__ == '__main__':\n    print(f(int(input())))", "if __name__ == '__main__':\n    def f(x):\n        return x + 1", "the program is a module here"),
    ("pickles its own objects", _calls((3, 3)), "import copy, pickle\nclass P:\n    def __init__(self, x): self.x = x\ndef f(x):\n    return copy.deepcopy(pickle.loads(pickle.dumps(P(x)))).x", "import pickle\ndef f(x):\n    return pickle.loads(pickle.dumps(lambda: x))", "its module is known by name"),
    ("typed dict and named tuple", _calls((3, {"x": 3, "y": [3, 4]})), "from typing import TypedDict, NamedTuple\nclass D(TypedDict):\n    x: int\n    y: list\nclass P(NamedTuple):\n    a: int\n    b: int\ndef f(x) -> D:\n    return D(x=x, y=list(P(x, x + 1)))", "def f(x):\n    return dict(x=x, y=[x])", "a typed dict is a dict"),
    ("enum inside", _calls((1, "RED")), "from enum import Enum, auto, Flag\nclass Color(Enum):\n    RED = auto()\n    @classmethod\n    def of(cls, n): return next(c for c in cls if c.value == n)\ndef f(n):\n    return Color.of(n).name", "from enum import Enum\nclass Color(Enum):\n    RED = 1\ndef f(n):\n    return Color(n)", "the member is not its name"),
    ("metaclass and hook of subclasses", _calls((3, 4)), "x = 1\nclass Meta(type):\n    def __new__(m, n, b, d, **kw): return super().__new__(m, n, b, d, **kw)\nclass A(metaclass=Meta):\n    def __init_subclass__(cls, **kw): cls.by = kw['by']\nclass B(A, by=1): pass\ndef f(x):\n    return x + B.by", "class A:\n    def __init_subclass__(cls, by): pass\nclass B(A): pass\ndef f(x):\n    return x + 1", "class creation"),
    ("regular expressions", _calls(("a1b22", ["1", "22"])), "import re\nNUMBER = re.compile(r'''\n  \\d+  # digits\n''', re.X)\ndef f(t):\n    return [m[0] for m in NUMBER.finditer(t)]", "import re\ndef f(t):\n    return re.finditer(r'\\d+', t)", "an iterator equals nothing"),
    ("long computation", _calls((20_000, 2262)), "def f(n):\n    s = bytearray([1]) * n\n    s[:2] = b'\\0\\0'\n    for i in range(2, int(n ** .5) + 1):\n        if s[i]: s[i * i::i] = bytes(len(range(i * i, n, i)))\n    return sum(s)", "def f(n):\n    while n: pass", "within the limits"),
)  # fmt: skip

# name, expected of a call by apps:strict, right, wrong: what a function returns
_STRICT = (
    ("tuple at depth", [[[1, 2]]], "[[(1, 2)]]", "[[(2, 1)]]"),
    ("wrapped tuple", [[1, 2]], "(1, 2)", "(1,)"),
    ("wrapped truth", [True], "True", "False"),
    ("text for a number", [3], "3", "'3'"),
    ("first letter of two", ["a", "b"], "['a', 'b']", "'a'"),
    ("items of a set", [1, 2], "[1, 2]", "{1, 2}"),
    ("nothing for an empty list", [], "[]", "None"),
    ("items of a generator", [1, 2], "[*iter([1, 2])]", "iter([1, 2])"),
)
# name, expected of a run by apps:strict, what prints it, what prints something else
_STRICT_TEXT = (
    ("needless zeros", "007\n", "print('007')", "print(7)"),
    ("line of a no-break space", "3\n", "print('\\n3\\n')", "print('\\u00a0\\n3')"),
    ("tokens on lines of their own", "1 2 3\n", "print(1, 2, 3)\nreturn", "print('1\\n2\\n3')"),
    ("carriage returns", "1\r\n2\r\n", "print('1\\n2')", "print('1 2')"),
    ("case of letters", "Yes\n", "print('Yes ')", "print('YES')"),
)

OF_SUITES = [
    *(
        Row(f"brought: {name}{how}", want, code, "every test of a file runs", tests(lines))
        for name, lines in _FILES.items()
        for how, want, code in (("", "pass", RIGHT), (", wrong", "wrong_answer runtime_error", WRONG))
    ),
    *(
        Row(f"tolerant: {name}, {how}", want, code, "a death is no answer", tests(lines))
        for name, lines in _TOLERANT.items()
        for how, (want, code) in _DEATHS.items()
    ),
    *(
        Row(f"value: {name}{how}", want, f"def f():\n    return {code}", "by == of plain data", one(expected))
        for name, expected, right, wrong in _VALUES
        for how, want, code in (("", "pass", right), (", wrong", "wrong_answer unserialisable_result", wrong))
    ),
    *(
        Row(f"strict: {name}{how}", want, f"def f(x):\n    return {code}", "what earns a reward on APPS", CallSuite(entry_point="f", calls=(Call(args=(0,), expected=expected),), rule="apps:strict"))
        for name, expected, right, wrong in _STRICT
        for how, want, code in (("", "pass", right), (", wrong", "wrong_answer", wrong))
    ),
    *(
        Row(f"strict text: {name}{how}", want, code, "what earns a reward on APPS", prints("apps:strict", expected))
        for name, expected, right, wrong in _STRICT_TEXT
        for how, want, code in (("", "pass", right), (", wrong", "wrong_answer", wrong))
    ),
    Row("numpy's class of matrices, in a test", "pass", "import numpy as np\ndef f(x):\n    return np.matrix([[x, 2]])", "an array to tests", tests("import numpy as np\nassert np.array_equal(f(1), np.array([[1, 2]]))")),
    Row("numpy's class of matrices, in a test, wrong", "wrong_answer", "import numpy as np\ndef f(x):\n    return np.matrix([[2, x]])", "and no broken protocol", tests("import numpy as np\nassert np.array_equal(f(1), np.array([[1, 2]]))")),
    *(
        Row(f"pretends: {name}", "wrong_answer unserialisable_result", code, "its own __eq__ is not asked")
        for name, code in _SUBCLASSES.items()
    ),
    *(
        Row(f"program: {name}{how}", want, code, why, suite)
        for name, suite, right, wrong, why in _PROGRAMS
        for how, want, code in (("", "pass", right), (", wrong", "!pass", wrong))
    ),
]  # fmt: skip
