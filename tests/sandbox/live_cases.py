"""Rows of the conformance table on live objects: the program's in tests, the tests' in programs.

Each suite has a right program and wrong ones; what a wrong one gets is not the point, but no pass.
"""

from __future__ import annotations

from falcon.suite import CodeSuite
from tests.sandbox.cases import Row


def _rows(
    name: str, why: str, asserts: tuple[str, ...], right: str, *wrong: str, setup: str = ""
) -> list[Row]:
    """A right program and wrong ones for the same tests."""
    suite = CodeSuite(setup=setup, asserts=asserts)
    return [
        Row(f"live: {name}", "pass", right, why, suite),
        *(
            Row(f"live: {name}, wrong {number}", "!pass", each, why, suite)
            for number, each in enumerate(wrong, start=1)
        ),
    ]


_STACK = '''
class Stack:
    """A stack."""
    made = 0
    def __init__(self, items=()):
        self.items = list(items)
        Stack.made += 1
    def push(self, x):
        self.items.append(x)
        return self
    def pop(self):
        if not self.items: raise IndexError("empty")
        return self.items.pop()
    @property
    def top(self): return self.items[-1]
    @classmethod
    def of(cls, *items): return cls(items)
    @staticmethod
    def double(x): return 2 * x
    def __len__(self): return len(self.items)
    def __iter__(self): return iter(self.items)
    def __contains__(self, x): return x in self.items
    def __getitem__(self, i): return self.items[i]
    def __setitem__(self, i, x): self.items[i] = x
    def __delitem__(self, i): del self.items[i]
    def __enter__(self): return self
    def __exit__(self, kind, fault, trace):
        self.items.clear()
        return kind is KeyError
    def __eq__(self, other): return isinstance(other, Stack) and self.items == other.items
    def __repr__(self): return f"Stack({self.items})"
    def __call__(self, x): return [x, *self.items]
'''
_VECTOR = """
class V:
    def __init__(self, x, y): self.x, self.y = x, y
    def __add__(self, o): return V(self.x + o.x, self.y + o.y) if isinstance(o, V) else NotImplemented
    def __sub__(self, o): return V(self.x - o.x, self.y - o.y)
    def __mul__(self, k): return V(self.x * k, self.y * k) if not isinstance(k, V) else self.x * k.x + self.y * k.y
    __rmul__ = __mul__
    def __iadd__(self, o): self.x += o.x; self.y += o.y; return self
    def __neg__(self): return V(-self.x, -self.y)
    def __abs__(self): return (self.x ** 2 + self.y ** 2) ** 0.5
    def __eq__(self, o): return isinstance(o, V) and (self.x, self.y) == (o.x, o.y)
    def __hash__(self): return hash((self.x, self.y))
    def __lt__(self, o): return abs(self) < abs(o)
    def __bool__(self): return bool(self.x or self.y)
    def __str__(self): return f"<{self.x}, {self.y}>"
    def __format__(self, form): return f"{self.x:{form}}|{self.y:{form}}"
def add(a, b): return a + b
def scaled(v, k): return v * k
"""
_ERRORS = """
class AppError(Exception):
    def __init__(self, code=0, *, note=""):
        super().__init__(f"code {code}")
        self.code, self.note = code, note
class NotFound(AppError, LookupError): pass
def find(x):
    if x < 0: raise NotFound(x, note="below")
    return x
"""
_EQUAL_ALL = "class E:\n    def __init__(s, *a): pass\n    def __eq__(s, o): return True\n    def __ne__(s, o): return False\n    def __sub__(s, o): return 0\n    __rsub__ = __add__ = __radd__ = __mul__ = __rmul__ = __mod__ = __xor__ = __sub__\n    def __abs__(s): return 0\n    def __lt__(s, o): return True\n    __gt__ = __le__ = __ge__ = __lt__\n    def __hash__(s): return 5\n    def __contains__(s, x): return True\n    def __bool__(s): return False\n    def __len__(s): return 0\n    def __iter__(s): return iter(())\n    def __round__(s, n=0): return 0\n    def __getattr__(s, n):\n        if n[:2] == '__': raise AttributeError(n)\n        return s\n    def __call__(s, *a, **k): return s\n    def __getitem__(s, i):\n        if i: raise IndexError\n        return s\n"

PROGRAMS = [
    *_rows("methods", "a class of the program in tests", (
        "s = Stack()\nassert s.push(1).push(2) is s", "assert s.pop() == 2 and s.items == [1] and s.top == 1",
        "try:\n    Stack().pop()\n    assert False\nexcept IndexError as e:\n    assert str(e) == 'empty'",
    ), _STACK, _STACK.replace("return self.items.pop()", "return self.items.pop(0)"), _STACK.replace('raise IndexError("empty")', "return None")),
    *_rows("attributes", "set, read, deleted, asked for", (
        "s = Stack([1])\ns.items = [7, 8]\nassert s.top == 8", "s.extra = {'a': (1, 2)}\nassert s.extra['a'] == (1, 2)\ndel s.extra",
        "assert not hasattr(s, 'extra') and hasattr(s, 'push') and getattr(s, 'no', 5) == 5",
    ), _STACK, _STACK.replace("self.items[-1]", "self.items[0]")),
    *_rows("class members", "class methods, static methods, attributes of classes", (
        "assert Stack.of(1, 2).items == [1, 2]", "assert Stack.double(4) == 8 and Stack([1]).double(2) == 4",
        "n = Stack.made\nStack()\nassert Stack.made == n + 1", "assert Stack.__name__ == 'Stack' and Stack.__doc__ == 'A stack.'",
    ), _STACK, _STACK.replace("return 2 * x", "return x"), _STACK.replace("Stack.made += 1", "pass")),
    *_rows("protocols", "len, in, iteration, items", (
        "s = Stack([3, 1, 2])\nassert len(s) == 3 and 1 in s and 9 not in s", "assert sorted(s) == [1, 2, 3] and [*s] == [3, 1, 2]",
        "assert s[0] == 3 and s[-1] == 2 and s[:2] == [3, 1]", "s[0] = 5\ndel s[1]\nassert s.items == [5, 2]",
        "assert bool(s) and not Stack()", "assert s(0) == [0, 5, 2]", "assert repr(s) == 'Stack([5, 2])' and f'{s}' == str(s)",
    ), _STACK, _STACK.replace("return len(self.items)", "return 3"), _STACK.replace("return x in self.items", "return True"), _STACK.replace("self.items[i] = x", "pass")),
    *_rows("with", "a context manager, and what it makes of exceptions", (
        "with Stack([4]) as t:\n    assert t.pop() == 4\n    t.push(1)", "assert len(t) == 0", "with Stack([1]) as t:\n    raise KeyError('k')", "assert len(t) == 0",
        "try:\n    with Stack([1]) as t:\n        raise ValueError(1)\n    assert False\nexcept ValueError:\n    assert not t.items",
    ), _STACK, _STACK.replace("return kind is KeyError", "return True"), _STACK.replace("self.items.clear()", "pass")),
    *_rows("classes", "isinstance and issubclass", (
        "assert isinstance(make(2), Shape) and isinstance(make(2), Square) and not isinstance(make(2), Circle)", "assert issubclass(Square, Shape) and not issubclass(Square, Circle)",
        "assert not isinstance(3, Shape) and not isinstance([], Square)", "assert type(make(2)).__name__ == 'Square' and make(2).__class__.__name__ == 'Square'",
        "try:\n    Shape().area()\n    assert False\nexcept NotImplementedError:\n    pass", "assert [s.area() for s in (Square(2), Circle(1))] == [4, 3]",
    ), "class Shape:\n    def area(self): raise NotImplementedError\nclass Square(Shape):\n    def __init__(self, a): self.a = a\n    def area(self): return self.a ** 2\nclass Circle(Shape):\n    def __init__(self, r): self.r = r\n    def area(self): return 3 * self.r ** 2\ndef make(a): return Square(a)",
       "class Shape:\n    def area(self): raise NotImplementedError\nclass Square:\n    def __init__(self, a): self.a = a\n    def area(self): return self.a ** 2\nclass Circle(Shape):\n    def __init__(self, r): self.r = r\n    def area(self): return 3 * self.r ** 2\ndef make(a): return Square(a)"),
    *_rows("abstract class", "it cannot be made", ("try:\n    Base()\n    assert False\nexcept TypeError:\n    pass", "assert Sub().f() == 1"),
        "from abc import ABC, abstractmethod\nclass Base(ABC):\n    @abstractmethod\n    def f(self): ...\nclass Sub(Base):\n    def f(self): return 1", "class Base:\n    def f(self): ...\nclass Sub(Base):\n    def f(self): return 1"),
    *_rows("operators", "of objects that the tests made", (
        "a, b = V(1, 2), V(3, 4)\nassert a + b == V(4, 6) and b - a == V(2, 2)", "assert a * 2 == V(2, 4) and 3 * a == V(3, 6) and a * b == 11", "assert -a == V(-1, -2) and abs(b) == 5.0",
        "a += b\nassert (a.x, a.y) == (4, 6)", "try:\n    a + 1\n    assert False\nexcept TypeError:\n    pass", "assert sum([V(1, 1), V(2, 2)], V(0, 0)) == V(3, 3)",
        "assert str(V(1, 2)) == '<1, 2>' and f'{V(1, 2):.1f}' == '1.0|2.0'", "assert V(1, 1) and not V(0, 0)",
    ), _VECTOR, _VECTOR.replace("self.y + o.y", "self.y - o.y"), _VECTOR.replace("self.y * k)", "self.y)"), _VECTOR.replace("V(-self.x, -self.y)", "self"), _VECTOR.replace("return self\n    def __neg__", "return V(0, 0)\n    def __neg__")),
    *_rows("equality", "the class and the data must agree", (
        "assert V(1, 2) == V(1, 2) and V(1, 2) != V(2, 1)", "assert not (V(1, 2) == V(2, 1)) and not (V(1, 2) != V(1, 2))", "assert V(1, 2) != (1, 2) and V(1, 2) != 3 and V(1, 2) is not None and V(1, 2) != None",
        "assert add(V(1, 2), V(1, 1)) == V(2, 3)", "assert scaled(V(1, 2), 3) == V(3, 6)", "assert [V(1, 2)] == [V(1, 2)] and V(1, 2) in [V(0, 0), V(1, 2)]",
    ), _VECTOR, _VECTOR.replace("return isinstance(o, V) and (self.x, self.y) == (o.x, o.y)", "return True"), _VECTOR.replace("return isinstance(o, V) and (self.x, self.y) == (o.x, o.y)", "return isinstance(o, V)").replace("return V(self.x * k, self.y * k)", "return V(self.x, self.y)"), _VECTOR.replace("    def __eq__(self, o): return isinstance(o, V) and (self.x, self.y) == (o.x, o.y)\n", "")),
    *_rows("sets and order", "hashes and order are the program's", (
        "assert len({V(1, 2), V(1, 2), V(2, 1)}) == 2", "assert {V(1, 2): 'a'}[V(1, 2)] == 'a'", "assert sorted([V(3, 4), V(1, 0), V(0, 2)]) == [V(1, 0), V(0, 2), V(3, 4)]", "assert max([V(1, 0), V(3, 4)]) == V(3, 4) and min([V(1, 0), V(3, 4)]).x == 1",
    ), _VECTOR, _VECTOR.replace("return hash((self.x, self.y))", "return id(self)"), _VECTOR.replace("abs(self) < abs(o)", "abs(self) > abs(o)")),
    *_rows("linked list", "equal by what is linked", (
        "assert L(1, 2, 3) == L(1, 2, 3) and L(1, 2) != L(1, 2, 3)", "assert L(*range(150)) == L(*range(150))", "l = L(1, 2)\nassert l.head.next.value == 2 and l.head.next.next is None", "n, out = l.head, []\nwhile n:\n    out.append(n.value)\n    n = n.next\nassert out == [1, 2]",
    ), "class N:\n    def __init__(s, value, next=None): s.value, s.next = value, next\nclass L:\n    def __init__(s, *v):\n        s.head = None\n        for x in reversed(v): s.head = N(x, s.head)\n    def values(s):\n        n = s.head\n        while n: yield n.value; n = n.next\n    def __eq__(s, o): return list(s.values()) == list(o.values())",
       "class N:\n    def __init__(s, value, next=None): s.value, s.next = value, next\nclass L:\n    def __init__(s, *v):\n        s.head = None\n        for x in reversed(v[:1]): s.head = N(x, s.head)\n    def __eq__(s, o): return True"),
    *_rows("ring", "what holds itself can be compared", ("assert R() == R()", "assert R().me.me.x == 1"), "class R:\n    def __init__(s): s.x, s.me = 1, s\n    def __eq__(s, o): return s.x == o.x", "class R:\n    n = 0\n    def __init__(s): R.n += 1; s.x, s.me = R.n, s\n    def __eq__(s, o): return True"),
    *_rows("iterators", "own classes, by every protocol", (
        "assert list(Count(3)) == [0, 1, 2] and [*Gen(3)] == [0, 1, 2] and list(Items(3)) == [0, 1, 2]", "c = Count(2)\nassert next(c) == 0 and next(c) == 1 and next(c, 'end') == 'end'", "assert c.n == 2 and list(zip(Gen(2), Items(2))) == [(0, 0), (1, 1)]",
    ), "class Count:\n    def __init__(s, n): s.n, s.i = n, 0\n    def __iter__(s): return s\n    def __next__(s):\n        if s.i == s.n: raise StopIteration\n        s.i += 1\n        return s.i - 1\nclass Gen:\n    def __init__(s, n): s.n = n\n    def __iter__(s): yield from range(s.n)\nclass Items:\n    def __init__(s, n): s.n = n\n    def __getitem__(s, i):\n        if i >= s.n: raise IndexError\n        return i",
       "class Count:\n    def __init__(s, n): s.n, s.i = n, 0\n    def __iter__(s): return s\n    def __next__(s):\n        s.i += 1\n        if s.i == s.n: raise StopIteration\n        return s.i - 1\nGen = Items = Count"),
    *_rows("closures", "functions that the program returns", ("assert adder(3)(4) == 7 and compose(adder(1), adder(2))(0) == 3", "c = counter()\nassert (c(), c()) == (1, 2) and counter()() == 1", "assert adder(3).__name__ == 'add'", "assert list(map(adder(1), [1, 2])) == [2, 3]"),
        "def adder(n):\n    def add(x): return x + n\n    return add\ndef compose(f, g): return lambda x: f(g(x))\ndef counter():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n        return n\n    return up",
        "def adder(n):\n    def add(x): return x - n\n    return add\ndef compose(f, g): return lambda x: f(g(x))\ndef counter(): return lambda: 1"),
    *_rows("exceptions", "of the program's own classes", (
        "try:\n    find(-2)\n    assert False\nexcept AppError as e:\n    assert e.code == -2 and e.note == 'below' and str(e) == 'code -2'", "try:\n    find(-1)\n    assert False\nexcept NotFound:\n    pass", "try:\n    find(-1)\n    assert False\nexcept LookupError:\n    pass",
        "assert issubclass(NotFound, AppError)", "import unittest\nt = unittest.TestCase()\nwith t.assertRaises(NotFound) as c:\n    find(-1)\nassert c.exception.code == -1", "t.assertRaises(AppError, find, -1)", "assert find(3) == 3",
    ), _ERRORS, _ERRORS.replace("raise NotFound(x, note=\"below\")", "raise AppError(x, note=\"below\")"), _ERRORS.replace("raise NotFound(x, note=\"below\")", "return NotFound(x)"), _ERRORS.replace("class NotFound(AppError, LookupError)", "class NotFound(LookupError)").replace("NotFound(x, note=\"below\")", "NotFound(x)")),
    *_rows("exceptions of the library", "they are the real ones", (
        "import json\ntry:\n    parse('{')\n    assert False\nexcept json.JSONDecodeError as e:\n    assert e.pos == 1 and e.lineno == 1", "from dataclasses import FrozenInstanceError\ntry:\n    P(1).x = 2\n    assert False\nexcept FrozenInstanceError:\n    pass", "import queue\ntry:\n    take()\n    assert False\nexcept queue.Empty:\n    pass",
    ), "import json, queue\nfrom dataclasses import dataclass\n@dataclass(frozen=True)\nclass P:\n    x: int\ndef parse(s): return json.loads(s)\ndef take(): return queue.Queue().get_nowait()", "import json, queue\nfrom dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef parse(s): raise ValueError(s)\ndef take(): raise LookupError"),
    *_rows("driven generators", "send, throw and close reach the generator", ("g = total()\nassert next(g) == 0 and g.send(3) == 3 and g.send(4) == 7", "g.close()\nassert next(g, 'end') == 'end'", "h = total()\nnext(h)\ntry:\n    h.throw(KeyError('k'))\n    assert False\nexcept ValueError as e:\n    assert str(e) == 'thrown'"),
        "def total():\n    n = 0\n    while True:\n        try: n += yield n\n        except KeyError: raise ValueError('thrown')", "def total():\n    n = 0\n    while True: n = yield n"),
    Row("live: skips the tests", "!pass", "import unittest\ndef f(x): raise unittest.SkipTest", "no program skips a test", CodeSuite(asserts=("import unittest\nclass T(unittest.TestCase):\n    def runTest(self):\n        with self.subTest():\n            self.assertEqual(f(1), 2)\nassert T().run().wasSuccessful()",))),
    *_rows("dataclass", "with methods of its own", ("p = P(1, [2])\nassert p.total() == 3 and p == P(1, [2]) and p != P(1, [3])", "p.add(4)\nassert p.more == [2, 4] and repr(p) == 'P(x=1, more=[2, 4])'", "assert sorted([P(2), P(1)])[0].x == 1"),
        "from dataclasses import dataclass, field\n@dataclass(order=True)\nclass P:\n    x: int\n    more: list = field(default_factory=list)\n    def total(self): return self.x + sum(self.more)\n    def add(self, n): self.more.append(n)",
        "from dataclasses import dataclass, field\n@dataclass(order=True)\nclass P:\n    x: int\n    more: list = field(default_factory=list)\n    def total(self): return self.x\n    def add(self, n): self.more.append(n)"),
    *_rows("named tuple and enum", "data that has methods", ("p = P(3, 4)\nassert p == (3, 4) and p.norm() == 5 and p.x == 3 and p._replace(x=1) == (1, 4)", "assert Color.RED.hex() == '#1' and Color(2) is Color.BLUE and Color['RED'].value == 1", "assert [c.name for c in Color] == ['RED', 'BLUE'] and len(Color) == 2", "assert paint(Color.BLUE) == 'blue' and paint(P(1, 2)) == 'P'"),
        "from enum import Enum\nfrom typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int\n    def norm(self): return (self.x ** 2 + self.y ** 2) ** 0.5\nclass Color(Enum):\n    RED = 1\n    BLUE = 2\n    def hex(self): return f'#{self.value}'\ndef paint(c): return 'blue' if c is Color.BLUE else type(c).__name__",
        "from enum import Enum\nfrom typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int\n    def norm(self): return self.x\nclass Color(Enum):\n    RED = 1\n    BLUE = 2\n    def hex(self): return '#'\ndef paint(c): return 'blue'"),
    *_rows("values", "what else a program has by a name", ("assert LIMIT == 5 and TABLE['a'] == [1]", "assert f(LIMIT) == 6 and NAMES == ('x', 'y')", "assert kind(3) is int and kind('a') == str", "assert sys.maxsize == M", "x = LIMIT + 1\nassert x == 6"),
        "import sys\nLIMIT, TABLE, NAMES, M = 5, {'a': [1]}, ('x', 'y'), sys.maxsize\ndef f(n): return n + 1\ndef kind(x): return type(x)", "import sys\nLIMIT, TABLE, NAMES, M = 5, {'a': [1]}, ['x', 'y'], sys.maxsize\ndef f(n): return n + 1\ndef kind(x): return type(x)", "import sys\nLIMIT, TABLE, NAMES, M = 5, {'a': [1]}, ('x', 'y'), sys.maxsize\ndef f(n): return n + 1\ndef kind(x): return str"),
    *_rows("coroutines", "awaited where the tests await them", ("import asyncio\nassert asyncio.run(later(2)) == 3", "async def all():\n    return await asyncio.gather(later(1), later(2))\nassert asyncio.run(all()) == [2, 3]", "async def use():\n    async with Door() as d:\n        return d.open, [x async for x in ticks(3)]\nassert asyncio.run(use()) == (True, [0, 1, 2])", "try:\n    asyncio.run(fails())\n    assert False\nexcept ValueError:\n    pass"),
        "import asyncio\nasync def later(x):\n    await asyncio.sleep(0)\n    return x + 1\nasync def fails(): raise ValueError\nasync def ticks(n):\n    for i in range(n): yield i\nclass Door:\n    open = False\n    async def __aenter__(self): self.open = True; return self\n    async def __aexit__(self, *a): self.open = False",
        "import asyncio\nasync def later(x): return x\nasync def fails(): raise ValueError\nasync def ticks(n):\n    for i in range(n): yield i\nclass Door:\n    open = True\n    async def __aenter__(self): return self\n    async def __aexit__(self, *a): pass"),
    *_rows("defaultdict with a factory of its own", "it is a dict that makes what is missing", ("d = f('aab')\nassert d == {'a': 2, 'b': 1} and d['z'] == 7", "assert f('') == {}", "from collections import defaultdict\nassert g(defaultdict(lambda: 5, a=1)) == 6"),
        "from collections import defaultdict\ndef f(s):\n    d = defaultdict(lambda: 7)\n    for c in s: d[c] = d.get(c, 0) + 1\n    return d\ndef g(d): return d['a'] + d['z']", "from collections import defaultdict\ndef f(s):\n    d = defaultdict(lambda: 0)\n    for c in s: d[c] += 1\n    return d\ndef g(d): return d['a'] + d.get('z', 0)"),
    *_rows("copies", "a copy is an object of its own", ("import copy\na = Stack([[1]])\nb, c = copy.copy(a), copy.deepcopy(a)\na.items[0]\na.push(2)\nassert len(c) == 1 and c == Stack([[1]]) and c is not a and c.items[0] == [1]",), _STACK, _STACK.replace("    def __len__", "    def __deepcopy__(self, memo): return self\n    def __len__")),
    *_rows("arguments", "objects are passed back as they are", ("a = Acc(5)\nmove(a, Acc(1), 2)\nassert a.n == 3", "assert same(a, a) and not same(a, Acc(3))", "assert best([Acc(1), Acc(4)]).n == 4", "assert keys({a: 1})[0] is a"),
        "class Acc:\n    def __init__(s, n): s.n = n\ndef move(a, b, k): a.n -= k; b.n += k\ndef same(a, b): return a is b\ndef best(xs): return max(xs, key=lambda a: a.n)\ndef keys(d): return list(d)",
        "class Acc:\n    def __init__(s, n): s.n = n\ndef move(a, b, k): Acc(a.n - k)\ndef same(a, b): return a is b\ndef best(xs): return max(xs, key=lambda a: a.n)\ndef keys(d): return list(d)"),
    *_rows("what objects hold", "lists, dicts and sets of an object are changed where it lives", (
        "s = Stack([1])\ns.items.append(5)\nassert s.top == 5 and len(s) == 2 and s.items is s.items", "items = s.items\ns.push(6)\nassert s.items == [1, 5, 6] and items is s.items", "s.rows = {'a': [1]}\ns.rows['a'].append(2)\nassert s.rows == {'a': [1, 2]}", "s.view().append(9)\nassert len(s) == 3", "s.raw().append(9)\nassert len(s) == 4",
    ), _STACK + "    def view(self): return list(self.items)\n    def raw(self): return self.items\n", _STACK + "    def view(self): return self.items\n    def raw(self): return self.items\n", _STACK.replace("class Stack:", "class Stack:\n    def __getattribute__(s, n):\n        v = object.__getattribute__(s, n)\n        return v[:] if n == 'items' else v") + "    def view(self): return list(self.items)\n    def raw(self): return self.items\n"),
    *_rows("a crash between", "its objects are gone, other tests are judged", ("a = Acc(1)", "assert f(3) == 3", "try:\n    crash()\nexcept Exception:\n    pass\nassert True is not a", "assert f(4) == 4"),
        "class Acc:\n    def __init__(s, n): s.n = n\ndef f(x): return x\ndef crash(): raise ValueError", "import os\nclass Acc:\n    def __init__(s, n): s.n = n\ndef f(x): return x\ndef crash(): os.abort()"),
]  # fmt: skip

FORGED = [
    Row(f"live: right to whoever asks, {how}", "!pass", f"{_EQUAL_ALL}def f(*a): return E()\nclass Solution:\n    f = lambda self, *a: E()\n", "no object declares itself equal", CodeSuite(asserts=(assertion,)))
    for how, assertion in (
        ("==", "want = 4\nassert f(2) == want"), ("!=", "assert not f(2) != 4"), ("in a list", "assert f(2) in [1, 4]"), ("in a set", "assert f(2) in {1, 5}"), ("of a list", "assert [f(2)] == [4]"), ("as a container", "want = 4\nassert want in f(2)"),
        ("difference", "assert abs(f(2) - 4.0) < 1e-6"), ("reflected difference", "assert abs(4.0 - f(2)) < 1e-6"), ("less", "want = 4\nassert f(2) < want"), ("between", "assert 3 < f(2) < 5"), ("xor", "assert not f(2) ^ 4"), ("round", "assert round(f(2) - 4.0, 6) == 0"),
        ("unittest", "import unittest\nt = unittest.TestCase()\nt.assertEqual(f(2), 4)"), ("almost", "import unittest\nt = unittest.TestCase()\nt.assertAlmostEqual(f(2), 4.0)"), ("isclose", "import math\nassert math.isclose(f(2), 4.0)"), ("method", "assert abs(Solution().f(2) - 4.0) < 1e-6"), ("attribute", "assert abs(f(2).area - 4.0) < 1e-6"),
        ("called", "assert abs(f(2)(3) - 4.0) < 1e-6"), ("class", "assert abs(E(2) - 4.0) < 1e-6"), ("class, summed", "assert sum([E(2), -4]) == 0"), ("dict", "assert {'a': f(2)} == {'a': 4}"), ("isinstance", "assert isinstance(f(2), int)"), ("sorted", "assert sorted([f(2), f(3)]) == [1, 2]"), ("item", "assert f(2)[0] == 4"), ("class, xor", "assert not E(2) ^ 4"), ("class, length", "assert len(E(2) - 4) == 0"), ("dividing", "assert f(2) % 4 == 0 and f(2)"),
    )
]  # fmt: skip

_TREE = "class Node:\n    def __init__(self, val, left=None, right=None): self.val, self.left, self.right = val, left, right\ndef tree(v):\n    return Node(*v[:1], *map(tree, v[1:])) if v else None\ndef flat(n):\n    return [n.val, flat(n.left), flat(n.right)] if n else []\n"

GIVEN = [
    *_rows("functions", "of the tests as arguments", (
        "assert apply(lambda x: x + 1, 3) == 4 and apply(len, [1, 2]) == 2 and apply(str.upper, 'a') == 'A'", "seen = []\nassert each(seen.append, [1, 2]) == [None, None] and seen == [1, 2]", "assert sorted_by([3, -1, 2], abs) == [-1, 2, 3] and sorted_by(['bb', 'a'], key) == ['a', 'bb']",
        "assert apply(apply_twice, 2) == 18", "assert apply(lambda x: x(4), lambda y: y * 2) == 8", "import operator, functools, math\nassert fold(operator.add, [1, 2, 3]) == 6 and apply(functools.partial(pow, 2), 3) == 8 and apply(math.sqrt, 4) == 2 and fold(max, [1, 5, 2]) == 5", "assert apply(int, '7') == 7 and each(str, [1, 2]) == ['1', '2']",
    ), "def apply(f, x): return f(x)\ndef each(f, xs): return [f(x) for x in xs]\ndef sorted_by(xs, key): return sorted(xs, key=key)\ndef fold(f, xs):\n    out = xs[0]\n    for x in xs[1:]: out = f(out, x)\n    return out", "def apply(f, x): return f(x)\ndef each(f, xs): return [None for x in xs]\ndef sorted_by(xs, key): return sorted(xs, key=key)\ndef fold(f, xs): return sum(xs)", setup="def key(s): return len(s)\ndef apply_twice(x): return apply(lambda y: y * 3, apply(lambda y: y * 3, x))"),
    *_rows("lazy results", "they call functions of the tests when they are read", ("assert list(each(lambda x: x + 1, [1, 2])) == [2, 3]", "assert [*kept(lambda x: x > 1, [1, 2, 3])] == [2, 3]", "assert next(each(str, [5])) == '5'"),
        "def each(f, xs): return map(f, xs)\ndef kept(f, xs): return (x for x in xs if f(x))", "def each(f, xs): return map(f, xs)\ndef kept(f, xs): return (x for x in xs if not f(x))"),
    *_rows("functions that fail", "what they raise is the program's to handle", (
        "assert retry(flaky, 3) == 'ok' and len(calls) == 3", "try:\n    retry(broken, 2)\n    assert False\nexcept Boom as e:\n    assert e.n == 7", "assert safe(lambda: 1 / 0) == 'ZeroDivisionError' and safe(lambda: 5) == 5", "assert safe(lambda: {}['k']) == 'KeyError'",
    ), "def retry(f, n):\n    for k in range(n):\n        try: return f()\n        except Exception:\n            if k == n - 1: raise\ndef safe(f):\n    try: return f()\n    except Exception as e: return type(e).__name__", "def retry(f, n):\n    try: return f()\n    except Exception: return 'ok'\ndef safe(f):\n    try: return f()\n    except Exception as e: return type(e).__name__",
        setup="calls = []\nclass Boom(Exception):\n    def __init__(self, n): self.n = n\ndef flaky():\n    calls.append(1)\n    if len(calls) < 3: raise OSError('not yet')\n    return 'ok'\ndef broken(): raise Boom(7)"),
    *_rows("decorators", "a function of the tests, wrapped by the program", ("g = memo(slow)\nassert g(3) == 9 and g(3) == 9 and ran == [3]", "assert memo(slow).__name__ == 'slow'", "@memo\ndef h(a, b=1): return a + b\nassert h(1) == 2 and h(1, b=5) == 6"),
        "import functools\ndef memo(f):\n    kept = {}\n    @functools.wraps(f)\n    def g(*a, **k):\n        key = a, tuple(k.items())\n        if key not in kept: kept[key] = f(*a, **k)\n        return kept[key]\n    return g", "def memo(f): return f", "def memo(f):\n    kept = {}\n    def g(*a):\n        if a not in kept: kept[a] = f(*a)\n        return kept[a]\n    return g", setup="ran = []\ndef slow(n):\n    ran.append(n)\n    return n * n"),
    *_rows("instances", "of the tests' classes as arguments", (
        "assert area(Shape(2, 3)) == 6", "s = Shape(1, 1)\ngrow(s, 4)\nassert (s.w, s.h) == (4, 1) and s.log == ['grown']", "assert names([Shape(1, 2), Shape(3, 4)]) == ['1x2', '3x4']", "assert biggest([Shape(1, 2), s, Shape(2, 1)]) is s", "assert total(Bag([1, 2, 3])) == 6",
    ), "def area(s): return s.w * s.h\ndef grow(s, w):\n    s.w = w\n    s.note('grown')\ndef names(xs): return [x.name() for x in xs]\ndef biggest(xs): return max(xs, key=area)\ndef total(b): return sum(b) if len(b) == 3 and 2 in b and b[0] == 1 else None", "def area(s): return s.w * s.h\ndef grow(s, w):\n    s.note('grown')\ndef names(xs): return [x.name() for x in xs]\ndef biggest(xs): return max(xs, key=area)\ndef total(b): return sum(b)",
        setup="class Shape:\n    def __init__(self, w, h): self.w, self.h, self.log = w, h, []\n    def note(self, x): self.log.append(x)\n    def name(self): return f'{self.w}x{self.h}'\nclass Bag:\n    def __init__(self, v): self.v = v\n    def __len__(self): return len(self.v)\n    def __iter__(self): return iter(self.v)\n    def __contains__(self, x): return x in self.v\n    def __getitem__(self, i): return self.v[i]"),
    *_rows("what instances hold", "lists, dicts and sets of an object are changed where it lives", ("g = Graph()\nlink(g, 1, 2)\nlink(g, 1, 3)\nassert g.edges == {1: [2, 3]} and g.seen == {1, 2, 3} and g.log == ['1-2', '1-3']",),
        "def link(g, a, b):\n    g.edges.setdefault(a, []).append(b)\n    g.seen |= {a, b}\n    g.log.append(f'{a}-{b}')", "def link(g, a, b):\n    g.edges.setdefault(a, [b])\n    g.seen.add(b)\n    g.log.append(f'{a}-{b}')", setup="class Graph:\n    def __init__(self): self.edges, self.seen, self.log = {}, set(), []"),
    *_rows("tree", "both sides have its class", ("assert flat(mirror(tree([1, [2], [3, [4]]]))) == flat(tree([1, [3, [], [4]], [2]]))", "assert depth(tree([1, [2, [3]]])) == 3 and depth(None) == 0", "assert flat(build([2, 1, 3])) == [2, [1, [], []], [3, [], []]]"),
        _TREE + "def mirror(n):\n    if isinstance(n, Node): n.left, n.right = mirror(n.right), mirror(n.left)\n    return n\ndef depth(n): return 1 + max(depth(n.left), depth(n.right)) if n else 0\ndef build(v): return Node(v[0], Node(v[1]), Node(v[2]))", _TREE + "def mirror(n): return n\ndef depth(n): return 1 + max(depth(n.left), depth(n.right)) if n else 0\ndef build(v): return Node(v[0], Node(v[1]), Node(v[2]))", setup=_TREE),
    *_rows("mock", "a callback that remembers", ("from unittest.mock import Mock\nm = Mock(return_value=5)\nassert run(m) == 5\nm.assert_called_once_with(3, x=1)",), "def run(f): return f(3, x=1)", "def run(f):\n    f(3, x=2)\n    return 5"),
    *_rows("events", "functions kept for later calls", ("b = Bus()\ngot = []\nb.on('a', got.append)\nb.on('a', lambda x: got.append(x * 2))\nb.emit('a', 2)\nassert got == [2, 4]", "b.emit('no', 1)\nassert got == [2, 4]"),
        "class Bus:\n    def __init__(s): s.subs = {}\n    def on(s, k, f): s.subs.setdefault(k, []).append(f)\n    def emit(s, k, *a):\n        for f in s.subs.get(k, []): f(*a)", "class Bus:\n    def __init__(s): s.subs = {}\n    def on(s, k, f): s.subs[k] = [f]\n    def emit(s, k, *a):\n        for f in s.subs.get(k, []): f(*a)"),
    *(
        Row(f"live: looks behind a function of the tests, {how}", "!pass", f"def f(g):\n    return {reads}", "the tests' own names are there", CodeSuite(setup="SECRET = 41\ndef g(x=5): return x", asserts=("assert f(g) == SECRET",)))
        for how, reads in (
            ("globals", "g.__globals__['SECRET']"), ("code", "g.__code__.co_consts"), ("special", "type(g).__getattribute__(g, '__globals__')['SECRET']"), ("ask", "g.__live_ask__('special', g, '__getattribute__', '__globals__')['SECRET']"), ("builtins", "g.__builtins__"), ("defaults", "g.__defaults__[0] + 36 if g.__defaults__ else 0"),
        )
    ),
    Row("live: asks for what it was not given", "protocol_violation", "def f(g):\n    import falcon_sandbox.wire.live as l\n    return g.__live_ask__('special', l.Live(999, None), '__call__', 1)", "a number that stands for nothing", CodeSuite(setup="def g(x): return x", asserts=("assert f(g) == 1",))),
    *(
        Row(f"live: disarms {name} of the tests", "!pass", f"def f(m):\n    try: {code}\n    except Exception: pass", "it judges the program", CodeSuite(setup="from unittest.mock import Mock\nclass Log:\n    def __init__(self): self.seen = []\n    def add(self, x): self.seen.append(x)\n    def check(self): assert self.seen == [3]", asserts=(f"m = {made}\nf(m)\n{ends}",)))
        for name, made, code, ends in (
            ("a mock", "Mock()", "m.assert_called_once_with = lambda *a: None", "m.assert_called_once_with(3)"), ("a mock, set up", "Mock()", "m.configure_mock(assert_called_once_with=lambda *a: None)", "m.assert_called_once_with(3)"),
            ("a method", "Log()", "m.check = lambda: None", "m.check()"), ("a class", "Log", "m.check = lambda self: None", "Log().check()"), ("the class of an object", "Log()", "m.__class__ = int", "m.check()"),
        )
    ),
    Row("live: recursion through a function of the tests", "!pass", "def f(g, n=0): return g(f, g)", "it ends", CodeSuite(setup="def g(f, h): return f(h)", asserts=("assert f(g) == 1",))),
    Row("live: endless calls of a function of the tests", "timeout", "def f(g):\n    while True: g(1)", "it ends", CodeSuite(setup="def g(x): return x", asserts=("assert f(g) == 1",))),
    Row("live: exits in a call from a function of the tests", "premature_exit", "import os\ndef f(g): return g(2)\ndef h(x): os._exit(0)", "it is no exception", CodeSuite(asserts=("try:\n    f(lambda x: h(x))\nexcept Exception:\n    pass",))),
]  # fmt: skip

LIVE = [*PROGRAMS, *FORGED, *GIVEN]
