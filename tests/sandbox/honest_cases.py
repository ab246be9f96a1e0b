"""Right programs that a sandbox may turn away, each with a wrong twin, which must fail.

A row of the table's form (``cases.py``): what is right in any Python must pass here.
"""

from __future__ import annotations

from falcon.suite import Call, CallSuite, CodeSuite, Suite
from tests.sandbox.cases import SUM, Row, one, text

_SHARED = [1]
_LINE = "sum(map(int, input().split()))"


def _whole(name: str, code: str, wrong: str, why: str) -> list[Row]:
    """A whole program that adds the numbers of its input, and its twin."""
    return [
        Row(name, "pass", code, why, SUM),
        Row(f"{name}, wrong", "wrong_answer", wrong, "twin", SUM),
    ]


def _twins(name: str, suite: Suite, right: str, wrong: str, why: str) -> list[Row]:
    return [
        Row(name, "pass", right, why, suite),
        Row(f"{name}, wrong", "!pass", wrong, "twin", suite),
    ]


STREAMS = [
    row
    for name, head, body, why in (
        ("wrapped output", "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')", f"print({_LINE}SIGN)", "it asks whether the stream can seek"),
        ("reconfigured output", "import sys\nsys.stdout.reconfigure(encoding='latin-1', line_buffering=True)", f"print({_LINE}SIGN)", "it asks where the stream stands"),
        ("reconfigured input", "import sys\nsys.stdin.reconfigure(encoding='latin-1')", f"print({_LINE}SIGN)", "contest idiom"),
        ("detached output", "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), write_through=True)", f"print({_LINE}SIGN)", "the stream of the beginning is of no use then"),
        ("detached output, written as bytes", "import sys\nout = sys.stdout.detach()", f"out.write(b'%d' % ({_LINE}SIGN))", "what is buffered is written at the end"),
        ("output of its own, not closed", "out = open(1, 'w')", f"out.write(str({_LINE}SIGN))", "what is buffered is written at the end"),
        ("closed output", "import sys", f"print({_LINE}SIGN, flush=True)\nsys.stdout.close()", "there is nothing left to write"),
        ("output without flush", "import sys\nclass Out:\n    def write(self, text): old.write(text)\nold, sys.stdout = sys.stdout, Out()", f"print({_LINE}SIGN)", "an ending that fails is no crash"),
        ("fast output", "import io, os, sys\nclass Out(io.IOBase):\n    def __init__(self): self.b = io.BytesIO(); self.writable = lambda: True; self.write = self.b.write\n    def flush(self): os.write(1, self.b.getvalue()); self.b.truncate(0); self.b.seek(0)\nclass Wrap:\n    def __init__(self): self.buffer = Out(); self.write = lambda s: self.buffer.write(s.encode()); self.flush = self.buffer.flush\nsys.stdout = Wrap()", f"print({_LINE}SIGN)", "contest idiom"),
        ("asks whether its input can seek", "import sys\nsys.stdin.seekable() and sys.stdin.tell()", f"print({_LINE}SIGN)", "a file, as where a judge redirects one"),
        ("wrapped input", "import io, sys\ninput = io.TextIOWrapper(sys.stdin.buffer).readline", f"print({_LINE}SIGN)", "contest idiom"),
        ("size of its input", "import io, os\ninput = io.BytesIO(os.read(0, os.fstat(0).st_size)).readline", f"print({_LINE}SIGN)", "contest idiom"),
        ("reads its input twice", "import sys\nfirst = sys.stdin.read(); sys.stdin.seek(0)", f"print(int({_LINE}SIGN if first else 0))", "a file can be read again"),
        ("maps its input", "import io, mmap\ninput = io.BytesIO(mmap.mmap(0, 0, access=mmap.ACCESS_READ)[:]).readline", f"print({_LINE}SIGN)", "contest idiom"),
        ("opens /dev/stdin", "import sys\nsys.stdin = open('/dev/stdin')", f"print({_LINE}SIGN)", "contest idiom, without /proc"),
        ("reads /dev/stdin by its path", "from pathlib import Path\ninput = Path('/dev/stdin').read_text", f"print({_LINE}SIGN)", "contest idiom, without /proc"),
        ("open as an attribute", "class Reader:\n    open = open\n    def read(self):\n        with self.open(0) as file: return file.read()\ninput = Reader().read", f"print({_LINE}SIGN)", "a builtin does not become a method"),
        ("asks for a larger stack", "import resource\nresource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))", f"print({_LINE}SIGN)", "contest idiom"),
    )
    for row in _whole(name, f"{head}\n{body.replace('SIGN', '')}", f"{head}\n{body.replace('SIGN', ' + 1')}", why)
]  # fmt: skip

_DEEP = "def deep(n): return 0 if n == 0 else 1 + deep(n - 1)\n"
_THREADS = "from concurrent.futures import ThreadPoolExecutor\nimport threading\ndef f(n):\n    gate = threading.Barrier(n)\n    with ThreadPoolExecutor(n) as pool:\n        return sum(pool.map(lambda i: (gate.wait(), i)[1], range(n)))"

ROOM = [
    Row("recursion of 998 when called", "pass", _DEEP + "def f():\n    return deep(997)", "all of the thousand calls are the program's", one(997)),
    Row("recursion of 999 at the top level", "pass", _DEEP + "print(deep(998))", "all of the thousand calls are the program's", text("", "998")),
    Row("recursion of 999 on loading", "pass", _DEEP + "made = deep(998)\ndef f():\n    return made", "all of the thousand calls are the program's", one(998)),
    Row("recursion of 1000", "runtime_error", _DEEP + "print(deep(999))", "twin: as in any Python", text("", "999"), error="RecursionError"),
    *_twins("seven threads", one(21, 7), _THREADS, _THREADS.replace("range(n)", "range(1, n + 1)"), "none may take address space for a heap of its own"),
]  # fmt: skip

_BUSY = "import time\ndef f(n, s=0.11):\n    end = time.process_time() + s\n    while time.process_time() < end: pass\n    return "


def _calls(count: int, *more: float) -> CallSuite:
    calls = tuple(Call(args=(n, *more), expected=n) for n in range(count))
    return CallSuite(entry_point="f", calls=calls)


MANY = [
    *_twins("many calls that take some time each", _calls(30), _BUSY + "n", _BUSY + "min(n, 28)", "time for all of them grows with their number"),
    *_twins("many calls that take some time each, by check", CodeSuite(check="def check(c):\n    for n in range(30):\n        assert c(n) == n", entry_point="f"), _BUSY + "n", _BUSY + "min(n, 28)", "time for all of them grows with their number"),
    Row("calls that take long each", "timeout", _BUSY + "n", "but not without bound", _calls(12, 0.5)),
]  # fmt: skip


def _checked(*lines: str, setup: str = "") -> CodeSuite:
    """Test code in which ``c`` is the program's function ``f``."""
    check = "def check(c):\n    " + "\n    ".join(lines)
    return CodeSuite(check=check, entry_point="f", setup=setup)


def _raises(kind: str, *after: str) -> CodeSuite:
    """Test code that wants an exception, and asserts of it what ``after`` says."""
    lines = [f"except {kind} as e:", *(f"    assert {line}" for line in after or ["True"])]
    return _checked("try:", "    c(1)", *lines, "else:", "    assert False")


_NO = "def f(n):\n    return n"
EXCEPTIONS = [
    *_twins("class of its own", _raises("ValueError", "type(e).__name__ == 'Mine'", "str(e) == 'no'"), "class Mine(ValueError): pass\ndef f(n):\n    raise Mine('no')", "class Mine(TypeError): pass\ndef f(n):\n    raise Mine('no')", "it is caught by its builtin base"),
    *_twins("class of its own, two steps away", _raises("LookupError"), "class A(KeyError): pass\nclass Mine(A): pass\ndef f(n):\n    raise Mine", "class A(Exception): pass\nclass Mine(A): pass\ndef f(n):\n    raise Mine", "it is caught by its builtin base"),
    *_twins("JSONDecodeError", _raises("ValueError", "e.lineno == 1", "e.msg == 'Expecting value'"), "import json\ndef f(n):\n    return json.loads('')", _NO, "a ValueError of the library"),
    *_twins("UnicodeDecodeError", _raises("ValueError", "e.reason == 'invalid start byte'", "e.object == b'\\xff'"), "def f(n):\n    return b'\\xff'.decode()", _NO, "it wants five arguments"),
    *_twins("InvalidOperation", _raises("ArithmeticError"), "import decimal\ndef f(n):\n    return decimal.Decimal('x')", _NO, "a class of the library"),
    *_twins("arguments of an exception", _raises("ValueError", "e.args == ('no', 7, [1])"), "def f(n):\n    raise ValueError('no', 7, [1])", "def f(n):\n    raise ValueError('no', 7)", "plain data crosses"),
    *_twins("attributes of an exception", _raises("ValueError", "e.code == 7"), "class Mine(ValueError):\n    def __init__(self, code): self.code = code\ndef f(n):\n    raise Mine(7)", "class Mine(ValueError):\n    def __init__(self, code): self.code = code\ndef f(n):\n    raise Mine(8)", "plain data crosses"),
    *_twins("text of a KeyError", _raises("KeyError", "str(e) == \"'a'\"", "e.args == ('a',)"), "def f(n):\n    return {}['a']", "def f(n):\n    return {}['b']", "it quotes its argument"),
    *_twins("text of several lines", _raises("ValueError", "str(e) == 'a\\nb\\t' + 'x' * 3000"), "def f(n):\n    raise ValueError('a\\nb\\t' + 'x' * 3000)", "def f(n):\n    raise ValueError('a\\nb\\t' + 'x' * 200)", "neither escaped nor cut"),
    *_twins("text of its own making", _raises("ValueError", "str(e) == 'code 7'"), "class Mine(ValueError):\n    def __str__(self): return f'code {self.args[0]}'\ndef f(n):\n    raise Mine(7)", "class Mine(ValueError):\n    def __str__(self): return f'code {self.args[0]}'\ndef f(n):\n    raise Mine(8)", "its class does not cross, its text does"),
    *_twins("exception of what cannot cross", _raises("ValueError", "'object' in str(e)"), "def f(n):\n    raise ValueError(object())", _NO, "its text crosses at least"),
    *_twins("missing file", _raises("FileNotFoundError", "e.errno == 2"), "def f(n):\n    raise FileNotFoundError(2, 'no such file', 'x')", "def f(n):\n    raise PermissionError(1, 'no such file', 'x')", "its attributes come from its arguments"),
    *_twins("group of exceptions", _raises("Exception"), "def f(n):\n    raise ExceptionGroup('two', [ValueError(1), TypeError(2)])", _NO, "what it holds does not cross"),
    Row("raises on loading what is wanted of a call", "runtime_error", "raise ValueError('no')", "no test calls it", _raises("ValueError")),
    Row("raises a SystemExit of its own", "runtime_error", "class Mine(SystemExit): pass\ndef f(n):\n    raise Mine", "no `except Exception` gets it", _raises("Exception")),
    Row("claims to be what it is not", "!pass", "class M(type):\n    def mro(cls): return [*type.mro(cls)]\nclass Mine(BaseException, metaclass=M): pass\ndef f(n):\n    raise Mine", "no `except Exception` gets it", _raises("Exception")),
]  # fmt: skip

_ENDLESS = "def f(n):\n    a = 0\n    while True:\n        a += n\n        yield a"
ITERATORS = [
    *_twins("generator, as a list", CodeSuite(asserts=("assert list(f(3)) == [0, 1, 2]",)), "def f(n):\n    yield from range(n)", "def f(n):\n    yield from range(1, n)", "the test reads it"),
    *_twins("generator, by check", _checked("g = c(3)", "assert next(g) == 0", "assert [*g] == [1, 2]", "assert list(g) == []"), "def f(n):\n    yield from range(n)", "def f(n):\n    return list(range(n))", "it is read once, from where it stands"),
    Row("generator for a list", "wrong_answer", "def f(n):\n    yield from range(n)", "it equals nothing", one([0, 1, 2], 3)),
    Row("generator for a list, in a test", "wrong_answer", "def f(n):\n    yield from range(n)", "it equals nothing", CodeSuite(asserts=("assert f(3) == [0, 1, 2]",))),
    Row("generator for a list, by check", "wrong_answer", "def f(n):\n    yield from range(n)", "it equals nothing", _checked("x = c(3)", "assert x == [0, 1, 2]")),
    *(
        row
        for name, right, wrong in (
            ("range", "range(n)", "range(n + 1)"), ("map", "map(abs, range(n))", "map(str, range(n))"), ("filter", "filter(None, [0, 1, 2])", "filter(None, [3])"),
            ("iterator of a list", "iter([0, 1, 2])", "iter([0])"), ("reversed", "reversed([2, 1, 0])", "reversed([0, 1, 2, 3])"), ("itertools", "__import__('itertools').chain([0], [1, 2])", "__import__('itertools').chain([0], [2])"),
            ("keys", "{0: 1, 1: 1, 2: 1}.keys()", "{0: 1}.keys()"), ("values", "{5: 0, 6: 1, 7: 2}.values()", "{5: 0}.values()"),
        )
        for row in _twins(f"{name}, sorted by the test", _checked("x = sorted(c(3))", "assert x[-3:] == [0, 1, 2][-len(x):]"), f"def f(n):\n    return {right}", f"def f(n):\n    return {wrong}", "the test reads it")
    ),
    *_twins("zip and enumerate", CodeSuite(asserts=("assert dict(f([7])) == {0: 7}",), entry_point="f", setup="pass"), "def f(x):\n    return enumerate(x)", "def f(x):\n    return zip(x, x)", "the test reads it"),
    *_twins("items of a dict", _checked("assert set(c(1)) == {(1, 2)}", "assert c(1) == {(1, 2)}"), "def f(n):\n    return {1: 2}.items()", "def f(n):\n    return {1: 3}.items()", "they equal a set"),
    *_twins("class that iterates", _checked("assert list(c(3)) == [3, 2, 1]"), "class f:\n    def __init__(self, n): self.n = n + 1\n    def __iter__(self): return self\n    def __next__(self):\n        self.n -= 1\n        if not self.n: raise StopIteration\n        return self.n", "class f:\n    def __init__(self, n): self.n = n\n    def __iter__(self): return self\n    def __next__(self):\n        self.n -= 1\n        if not self.n: raise StopIteration\n        return self.n", "the test reads it"),
    *_twins("beginning of a generator without end", _checked("import itertools", "assert list(itertools.islice(c(2), 5)) == [2, 4, 6, 8, 10]"), _ENDLESS, _ENDLESS.replace("a = 0", "a = 1"), "a thousand items cross at least"),
    Row("generator without end, read to the end", "output_limit", _ENDLESS, "that is the program's fault", _checked("try:", "    assert list(c(2))", "except Exception:", "    pass")),
    Row("generator without end, read to the end by a literal test", "!pass", _ENDLESS, "that is the program's fault", CodeSuite(asserts=("assert list(f(2))",))),
    Row("generator that never yields", "timeout", "def f(n):\n    while True: n += 1\n    yield n", "it is read in the program's time", _checked("assert list(c(2))")),
    *_twins("generator that raises", _checked("try:", "    list(c(2))", "except ValueError:", "    assert True", "else:", "    assert False"), "def f(n):\n    if n: raise ValueError\n    yield n", "def f(n):\n    yield n", "a test may want it"),
    *_twins("generator as an argument", _checked("assert c(x * x for x in range(4)) == 14", "assert c(map(int, '12')) == 3", "assert c(range(3)) == 3"), "def f(x):\n    return sum(x)", "def f(x):\n    return sum(x) + 1", "a copy of it crosses"),
    *_twins("answer read again", _checked("assert list(c(c([1, 2]))) == [1, 2]"), "def f(x):\n    return iter(x)", "def f(x):\n    return iter([*x, 1])", "an iterator crosses there and back"),
    Row("range too long", "unserialisable_result output_limit", "def f(n):\n    return range(10 ** 9)", "reading it would fill our memory", CodeSuite(asserts=("assert len(list(f(1))) == 0",))),
]  # fmt: skip

_TYPES = "from collections import *\nfrom dataclasses import dataclass, field\nfrom datetime import *\nfrom decimal import Decimal\nfrom enum import *\nfrom fractions import Fraction\nfrom typing import NamedTuple\nclass Point(NamedTuple):\n    x: int\n    y: int = 0\n@dataclass\nclass Pair:\n    left: int\n    right: list = field(default_factory=list)\nclass Color(Enum):\n    RED = 1\n    BLUE = 2\nclass Level(IntEnum):\n    LOW = 1\n    HIGH = 2\nclass Word(StrEnum):\n    YES = 'yes'\n    NO = 'no'\n"


def _typed(name: str, lines: tuple[str, ...], right: str, wrong: str, why: str) -> list[Row]:
    """A function of one line that returns a value of some type."""
    head, imports = (
        f"{_TYPES}def f(*a):\n    return ",
        "from collections import *; from datetime import *; from decimal import Decimal; from fractions import Fraction",
    )
    return _twins(name, _checked(*lines, setup=imports), head + right, head + wrong, why)


TYPES = [
    *_typed("Decimal", ("assert c() == Decimal('1.10')", "assert str(c()) == '1.10'", "assert c() + 1 > 2"), "Decimal('1.10')", "Decimal('1.1')", "a number of the library"),
    *_typed("Fraction", ("assert c() == Fraction(1, 3)", "assert c().denominator == 3"), "Fraction(2, 6)", "Fraction(2, 3)", "a number of the library"),
    *_typed("date", ("assert c() == date(2024, 2, 29)", "assert c().year == 2024"), "date(2024, 2, 29)", "date(2024, 2, 28)", "a type of the library"),
    *_typed("datetime", ("assert c() == datetime(2024, 2, 29, 1, tzinfo=timezone.utc)",), "datetime(2024, 2, 29, 1, tzinfo=timezone.utc)", "datetime(2024, 2, 29, 1)", "with its zone"),
    *_typed("time and timedelta", ("assert c() == [time(1, 2), timedelta(days=-1, microseconds=5)]",), "[time(1, 2), timedelta(days=-1, microseconds=5)]", "[time(1, 2), timedelta(days=1)]", "types of the library"),
    *_typed("named tuple of its own", ("p = c()", "assert p == (1, 2) and p.x == 1 and p[1] == 2", "x, y = p", "assert p._asdict() == {'x': 1, 'y': 2}", "assert repr(p) == 'Point(x=1, y=2)'"), "Point(1, 2)", "(1, 2)", "a tuple with names"),
    Row("named tuple for a tuple", "pass", f"{_TYPES}def f():\n    return Point(1, 2)", "they are equal", one((1, 2))),
    *_typed("dataclass of its own", ("p = c()", "assert p.left == 1 and p.right == [2]", "assert p != (1, [2]) and p != [1, [2]] and p != {'left': 1, 'right': [2]}", "assert p == c()", "assert repr(p) == 'Pair(left=1, right=[2])'"), "Pair(1, [2])", "Point(1, [2])", "an object with attributes"),
    Row("dataclass for a tuple", "wrong_answer", f"{_TYPES}def f():\n    return Pair(1, [])", "it equals nothing plain", one((1, []))),
    Row("dataclass that equals everything", "wrong_answer", "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int = 7\n    def __eq__(self, other): return True\ndef f():\n    return P()", "nothing of its class crosses", one(3)),
    Row("dataclass that equals everything, by check", "wrong_answer", "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int = 7\n    def __eq__(self, other): return True\ndef f():\n    return P()", "nothing of its class crosses", _checked("assert c() == 3")),
    *_typed("member of an Enum", ("assert c().name == 'RED' and c().value == 1", "assert c() == c() and c() != 1", "assert str(c()) == 'Color.RED'"), "Color.RED", "Color.BLUE", "an object with attributes"),
    *_typed("member of an IntEnum", ("assert c() == 2 and c() + 1 == 3 and c().name == 'HIGH'",), "Level.HIGH", "Level.LOW", "a number with a name"),
    *_typed("member of a StrEnum", ("assert c() == 'yes' and c().upper() == 'YES' and c().name == 'YES'",), "Word.YES", "Word.NO", "text with a name"),
    Row("member of an IntEnum for a number", "pass", f"{_TYPES}def f():\n    return Level.HIGH", "they are equal", one(2)),
    Row("member of an Enum for a number", "wrong_answer", f"{_TYPES}def f():\n    return Color.BLUE", "they are not equal", one(2)),
    Row("Decimal for a number", "pass", f"{_TYPES}def f():\n    return [Decimal(2), Fraction(4, 2)]", "they are equal", one([2, 2])),
    Row("Decimal too long", "unserialisable_result", f"{_TYPES}def f():\n    return Decimal('1e999999')", "its digits would fill our memory", CodeSuite(asserts=("assert int(f()) == 0",))),
    *_typed("deque", ("d = c()", "d.appendleft(0)", "assert d == deque([0, 1]) and d.maxlen == 2"), "deque([1, 2], 2)", "deque([1, 2])", "it keeps its methods"),
    *_typed("deque for a list", ("assert c() != [1]", "assert list(c()) == [1]"), "deque([1])", "[1]", "they are not equal"),
    *_typed("Counter", ("assert c().most_common(1) == [('a', 2)] and c()['z'] == 0",), "Counter('aba')", "dict(a=2, b=1)", "it keeps its methods"),
    *_typed("defaultdict", ("d = c()", "d['b'].append(1)", "assert d == {'a': [], 'b': [1]}"), "defaultdict(list, a=[])", "dict(a=[])", "it keeps its factory"),
    *_typed("OrderedDict", ("assert c() != OrderedDict(b=1, a=2)", "assert c() == {'b': 1, 'a': 2}"), "OrderedDict(a=2, b=1)", "OrderedDict(b=1, a=2)", "its order counts"),
    *_typed("types within types", ("assert c() == {'p': [((1, 0), Decimal(1))], 'd': {date(2024, 1, 1): Fraction(1)}}",), "{'p': [(Point(1), Decimal(1))], 'd': {date(2024, 1, 1): Fraction(1)}}", "{'p': [(Point(2), Decimal(1))], 'd': {date(2024, 1, 1): Fraction(1)}}", "at any depth"),
    *(
        row
        for name, given, kind in (
            ("deque", "deque([1, 2], 3)", "collections.deque"), ("Counter", "Counter('aab')", "collections.Counter"), ("OrderedDict", "OrderedDict(a=1)", "collections.OrderedDict"),
            ("defaultdict", "defaultdict(list)", "collections.defaultdict"), ("Decimal", "Decimal('1.10')", "decimal.Decimal"), ("Fraction", "Fraction(1, 3)", "fractions.Fraction"),
            ("datetime", "datetime(2024, 1, 1, 2)", "datetime.datetime"), ("timedelta", "timedelta(1)", "datetime.timedelta"), ("range", "range(3)", "builtins.range"),
            ("bytearray", "bytearray(b'a')", "builtins.bytearray"), ("frozenset", "frozenset('a')", "builtins.frozenset"), ("complex", "1j", "builtins.complex"),
        )
        for row in _typed(f"{name} as an argument", (f"x = {given}", "assert c(x) == [type(x).__module__ + '.' + type(x).__name__, repr(x)]"), "[type(a[0]).__module__ + '.' + type(a[0]).__name__, repr(a[0])]", f"['{kind}', '']", "it arrives as what it is")
    ),
    *(
        Row(f"{given} as an argument", "sandbox_error", "def f(x):\n    return 1", "it cannot cross: the suite is at fault, nothing is changed in silence", CodeSuite(setup="import threading\nfrom collections import defaultdict", asserts=(f"x = {given}\nassert f(x) == 1",)))
        for given in ("[threading.Lock()]",)
    ),
    *_typed("named tuple of the test as an argument", ("P = namedtuple('P', 'x y')", "assert c(P(1, 2)) == 3"), "a[0].x + a[0].y", "a[0].x", "it keeps its names"),
    *_typed("dataclass of the test as an argument", ("from dataclasses import dataclass", "@dataclass", "class P:", "    x: int", "p = P(1)", "assert c(p) == 1", "assert p.x == 5"), "[a[0].x, setattr(a[0], 'x', 5)][0]", "a[0].x", "it keeps its fields, and takes what they become"),
    *_twins("objects of the program as arguments", CodeSuite(asserts=("p = make(1)\nassert total(p) == 1\nassert total(p, 4) == 5 and p.right == [4]", "assert show(kind(2)) == 'BLUE'")), _TYPES + "def make(n): return Pair(n)\ndef total(p, *more):\n    p.right.extend(more)\n    return p.left + sum(p.right) if isinstance(p, Pair) else None\ndef kind(n): return Color(n)\ndef show(k): return k.name if isinstance(k, Color) else None", _TYPES + "def make(n): return Pair(n)\ndef total(p, *more): return p.left + sum(more)\ndef kind(n): return Color(n)\ndef show(k): return k.name", "they arrive as objects of its classes"),
    *_twins("class of the program in the tests", CodeSuite(asserts=("assert area(Box(2, 3)) == 6", "assert Box(1, 2) == Box(1, 2)", "assert Box(1, 2) != Box(2, 1)")), "from dataclasses import dataclass\n@dataclass\nclass Box:\n    a: int\n    b: int\n    def area(self): return self.a * self.b\ndef area(box): return box.area()", "from dataclasses import dataclass\n@dataclass\nclass Box:\n    a: int\n    b: int\ndef area(box): return box.a", "a call makes an object of it"),
]  # fmt: skip

ARRAYS = [
    row
    for name, test, right, wrong in (
        ("array in a comparison", "assert np.array_equal(f(), np.array([[1, 2], [3, 4]]))", "np.array([[1, 2], [3, 4]])", "np.array([[1, 2]])"),
        ("attributes of an array", "a = f()\nassert a.shape == (2, 3) and a.dtype == np.float32 and a.sum() == 6", "np.ones((2, 3), np.float32)", "np.ones((2, 3))"),
        ("empty array", "assert f().shape == (0, 3)", "np.zeros((0, 3))", "np.zeros((3, 0))"),
        ("scalar", "a = f()\nassert a.dtype == np.int64 and a == 3", "np.int64(3)", "3"),
        ("array as an argument", "assert f(np.array([[1, 2], [3, 4]]), np.float32(2)) == 20.0", "float((a[0] * a[1]).sum()) * (a[1].dtype == np.float32)", "float(a[0].sum())"),
        ("array changed in place", "x = np.arange(3)\nf(x)\nassert (x == [5, 1, 2]).all()", "a[0].__setitem__(0, 5)", "a[0] + 5"),
    )
    for row in _twins(f"numpy: {name}", CodeSuite(setup="import numpy as np", asserts=(test,)), "import numpy as np\ndef f(*a):\n    return " + right, "import numpy as np\ndef f(*a):\n    return " + wrong, "as in the tests' own numpy")
]  # fmt: skip

MUTATIONS = [
    *_twins("keyword argument", CodeSuite(asserts=("x = [3, 1]\nf(x=x)\nassert x == [1, 3]",)), "def f(x): x.sort()", "def f(x): sorted(x)", "it is written back, too"),
    *_twins("list within a list", CodeSuite(asserts=("inner = [1]\nx = [inner]\nf(x)\nassert inner == [1, 2] and x[0] is inner",)), "def f(x): x[0].append(2)", "def f(x): x[0] = [1, 2]", "the test's own list changes"),
    *_twins("one list twice", CodeSuite(asserts=("x = [1]\nassert f(x, x) is True\nassert x == [1, 2]",)), "def f(a, b):\n    a.append(2)\n    return a is b", "def f(a, b):\n    a.append(2)\n    return a is not b", "it is one list there"),
    *_twins("one list at two places", CodeSuite(asserts=("row = [0]\ngrid = [row] * 3\nassert f(grid) == 3\nassert row == [1]",)), "def f(grid):\n    grid[0][0] = 1\n    return sum(row[0] for row in grid)", "def f(grid):\n    grid[0] = [1]\n    return 3", "it is one list there"),
    *_twins("list that holds itself", CodeSuite(asserts=("x = []\nx.append(x)\nassert f(x)",)), "def f(x): return x[0] is x", "def f(x): return x[0] is not x", "a reference stands for it"),
    *_twins("the argument itself as the result", CodeSuite(asserts=("x = [2, 1]\ny = f(x)\nassert y is x\ny.append(3)\nassert x == [1, 2, 3]",)), "def f(x):\n    x.sort()\n    return x", "def f(x):\n    x.sort()\n    return x[:]", "the test has one list, too"),
    *_twins("copy of the argument", CodeSuite(asserts=("x = {'a': [1]}\ny = f(x)\ny['a'].append(2)\nassert x == {'a': [1]}",)), "import copy\ndef f(x): return copy.deepcopy(x)", "import copy\ndef f(x): return copy.copy(x)", "what is shared stays shared"),
    *_twins("moved within the arguments", CodeSuite(asserts=("a, b = [1], [[2]]\nmoved = b[0]\nf(a, b)\nassert a == [1, [2]] and a[1] is moved and b == []",)), "def f(a, b): a.append(b.pop())", "def f(a, b):\n    a.append(list(b.pop()))", "objects keep their identity"),
    *_twins("dict, set, deque and bytearray", CodeSuite(setup="from collections import deque, OrderedDict", asserts=("d, s, q, b, o = {'a': 1}, {1}, deque([1]), bytearray(b'a'), OrderedDict(a=1, b=2)\nf(d, s, q, b, o=o)\nassert (d, s, q, b) == ({'b': 2}, {2}, deque([0, 1]), b'ab')\nassert list(o) == ['b', 'a']",)), "def f(d, s, q, b, o):\n    d.clear(); d['b'] = 2\n    s ^= {1, 2}\n    q.appendleft(0)\n    b += b'b'\n    o.move_to_end('a')", "def f(d, s, q, b, o):\n    d['b'] = 2\n    s ^= {1, 2}\n    q.appendleft(0)\n    b += b'b'", "each in place"),
    *_twins("one list twice in a case", CallSuite(entry_point="f", calls=(Call(args=(_SHARED, _SHARED), expected=True),)), "def f(a, b): return a is b", "def f(a, b): return a is not b", "also without test code"),
]  # fmt: skip

HONEST_TWINS = [*STREAMS, *ROOM, *MANY, *EXCEPTIONS, *ITERATORS, *TYPES, *ARRAYS, *MUTATIONS]
