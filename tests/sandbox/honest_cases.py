"""Right programs that a sandbox may turn away, each with a wrong twin, which must fail.

A row of the table's form (``cases.py``): what is right in any Python must pass here.
"""

from __future__ import annotations

from falcon.suite import Suite
from tests.sandbox.cases import SUM, Row, one, text

_LINE = "sum(map(int, input().split()))"


def _whole(name: str, code: str, wrong: str, why: str) -> list[Row]:
    """A whole program that adds the numbers of its input, and its twin."""
    return [
        Row(name, "pass", code, why, SUM),
        Row(f"{name}, wrong", "wrong_answer", wrong, "twin", SUM),
    ]


def _twins(name: str, suite: Suite, right: str, wrong: str, why: str) -> list[Row]:
    return [Row(name, "pass", right, why, suite), Row(f"{name}, wrong", "!pass", wrong, "twin", suite)]


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

HONEST_TWINS = [*STREAMS, *ROOM]
