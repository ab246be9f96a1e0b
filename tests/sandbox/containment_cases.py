"""Rows of the conformance table on what a program can hold, break and draw by lot.

As in ``cases``: a wrong program beside its right twin, and why the row is there.
"""

from __future__ import annotations

from falcon.suite import Call, CallSuite, CodeSuite, Run, StdinSuite, Suite
from tests.sandbox.cases import Row, one

HEAD = "import ctypes, fcntl, mmap, os, random, signal, socket, sys, threading, time\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.mmap.restype = ctypes.c_void_p\nlibc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]\n"


def body(*lines: str) -> str:
    """A program that defines ``f``, which takes anything."""
    return HEAD + "def f(*given):\n" + "".join(f"    {line}\n" for line in lines)


def raw(call: str) -> str:
    """A program that returns whether a call of libc is refused."""
    return body(f"return libc.{call} == -1")


MANY_PIPES = body(
    "held = []",
    "while True:",
    "    r, w = os.pipe()",
    "    os.set_blocking(w, False)",
    "    fcntl.fcntl(w, 1031, 1 << 20)",
    "    held.append(r)",
)
MANY_SOCKETS = body(
    "held = []",
    "while True:",
    "    a, b = socket.socketpair()",
    "    a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)",
    "    held.append(b)",
)
IN_FLIGHT = body(
    "x, y = socket.socketpair()",
    "while True:",
    "    r, w = os.pipe()",
    "    socket.send_fds(x, [b'x'], [r])",
    "    os.close(r)",
    "    os.close(w)",
)
FULL_PIPES = body(
    "held, n = [], 0",
    "try:",
    "    while True:",
    "        r, w = os.pipe()",
    "        os.set_blocking(w, False)",
    "        held.append(r)",
    "        try:",
    "            while True: n += os.write(w, bytes(65536))",
    "        except BlockingIOError: os.close(w)",
    "except OSError: return n <= 64 << 16",
)
FULL_SOCKETS = body(
    "held, n = [], 0",
    "try:",
    "    while True:",
    "        a, b = socket.socketpair()",
    "        a.setblocking(False)",
    "        held.append(b)",
    "        try:",
    "            while True: n += a.send(bytes(65536))",
    "        except BlockingIOError: a.close()",
    "except OSError: return n <= 64 << 19",
)
SHARED = body(
    "held = []",
    "while True:",
    "    m = mmap.mmap(-1, 1 << 20)",
    "    m[::4096] = bytes(256)",
    "    held.append(m)",
)
GROWS_DOWN = body(
    "while True:",
    "    p = libc.mmap(None, 1 << 20, 3, 0x122, -1, 0)",
    "    if p == 2 ** 64 - 1: raise MemoryError",
    "    ctypes.memset(p, 1, 1 << 20)",
)
HEAP = body("held = []", "while True: held.append(bytearray(1 << 20))")
FILES = body(
    "held = []",
    "while True:",
    "    h = open('/tmp/x', 'wb', 0)",
    "    os.unlink('/tmp/x')",
    "    if h.write(bytes(1 << 20)) < 1 << 20: raise OSError('full')",
    "    held.append(h)",
)
SIGNALS = body(
    "signal.pthread_sigmask(signal.SIG_BLOCK, [40])",
    "for _ in range(5000): os.kill(os.getpid(), 40)",
    "n = 0",
    "while signal.sigtimedwait([40], 0): n += 1",
    "return n <= 256",
)
LOCKS = body(
    "h = open('/tmp/x', 'wb', 0)",
    "for i in range(2000): fcntl.lockf(h, fcntl.LOCK_EX, 1, 2 * i)",
    "return os.listdir('/tmp')",
)
SQLITE = "import sqlite3\ndef f():\n    table = sqlite3.connect('/tmp/t')\n    table.execute('CREATE TABLE t (x)')\n    table.execute('INSERT INTO t VALUES (7)')\n    table.commit()\n    return table.execute('SELECT x FROM t').fetchall()"
OFD_LOCK = body("h = open('/tmp/x', 'wb', 0)", "fcntl.fcntl(h, 37, bytes(32))")

MEMORY = [
    Row("larger pipes", "runtime_error", MANY_PIPES, "64 descriptors of 1 MiB each", one(None), error="PermissionError"),
    Row("all pipes full", "pass", FULL_PIPES, "64 KiB each", one(True)),
    Row("larger buffers of sockets", "runtime_error", MANY_SOCKETS, "64 descriptors of 8 MiB each", one(None), error="PermissionError"),
    Row("all sockets full", "pass", FULL_SOCKETS, "as the system has them", one(True)),
    Row("descriptors on their way", "runtime_error", IN_FLIGHT, "they are beyond RLIMIT_NOFILE", one(None), error="PermissionError"),
    Row("size of a pipe", "pass", body("return fcntl.fcntl(os.pipe()[0], 1032)"), "twin", one(65536)),
    Row("shared mappings without end", "runtime_error", SHARED, "no data, yet address space", one(None), error="OSError"),
    Row("a shared mapping", "pass", body("m = mmap.mmap(-1, 1 << 20)", "m[:3] = b'abc'", "return m[:3]"), "twin", one(b"abc")),
    Row("mappings that grow down", "memory", GROWS_DOWN, "no data, yet address space", one(None)),
    Row("heap without end", "memory", HEAP, "data", one(None)),
    Row("heap within the limit", "pass", body("return len(bytearray(30 << 20))"), "twin", one(30 << 20)),
    Row("files that have no name", "runtime_error", FILES, "they fill /tmp all the same", one(None)),
    Row("queued signals", "pass", SIGNALS, "each holds memory", one(True)),
    Row("file in memory", "runtime_error", body("os.memfd_create('x')"), "it would be no memory of the process", one(None), error="PermissionError"),
    Row("locks without end", "pass", LOCKS, "told that they are set: none can be in its way", one(["x"]), without_scratch="runtime_error"),
    Row("locks of open files", "runtime_error", OFD_LOCK, "each holds memory", one(None), error="PermissionError"),
    Row("database in a file", "pass", SQLITE, "twin: it sets locks", one([(7,)]), without_scratch="runtime_error"),
    *(
        Row(f"raw {call.partition('(')[0]}", "pass", raw(call), "refused by the filter", one(True))
        for call in ("shmget(0, 4096, 0o1600)", "msgget(0, 0o1600)", "mlockall(1)", "memfd_create(b'x', 0)", "timerfd_create(0, 0)", "inotify_init1(0)", "vmsplice(1, 0, 0, 0)")
    ),
]  # fmt: skip

JUNK = {
    "junk": "os.write(60, b'\\xff' * 40)",
    "half an answer": "os.write(60, (200).to_bytes(4, 'big') + b'V' + bytes(19))",
    "another's answer": "os.write(60, (20).to_bytes(4, 'big') + b'V' + bytes(19))",
}
THEN = {
    "exit": "os._exit(0)", "crash": "ctypes.string_at(0)", "loop": "while True: pass", "kill": "os.kill(os.getpid(), 9)",
    "close": "os.close(60)", "wrong value": "return 'x'", "no plain data": "return object()", "exception": "raise ValueError",
    "nothing": "pass",
}  # fmt: skip
CALLS = CallSuite(entry_point="f", calls=(Call(args=(1,), expected=2), Call(args=(2,), expected=3)))
SUITES: dict[str, Suite] = {
    "calls": CALLS,
    "asserts": CodeSuite(asserts=("assert f(1) == 2", "assert f(2) == 3")),
    "oracle": CodeSuite(asserts=("for x in (1, 2):\n    assert f(x) == x + 1",)),
}
PRINTS = StdinSuite(runs=(Run(expected="2\n"), Run(expected="2\n")))
NO_JSON = "import falcon_sandbox.confined.program_main as c\nright = c._encode\ndef f(x):\n    c._encode = (lambda *a, **k: 'nonsense') if x == 1 else right\n    return x + 1\n"


def caught(then: str) -> CodeSuite:
    """Tests that catch whatever the first call does, and then do something."""
    return CodeSuite(
        asserts=(f"import os\ntry:\n    f(1)\nexcept BaseException:\n    pass\n{then}",)
    )


TAMPERING = [
    *(
        Row(f"{what}, then {then} ({kind})", "protocol_violation", body(deed, end, "return given[0] + 1"), "the worst that it did counts", suite)
        for what, deed in JUNK.items()
        for then, end in THEN.items()
        for kind, suite in SUITES.items()
        if what == "half an answer" or then in ("exit", "loop")
    ),
    *(
        Row(f"{what}, then {then} (prints)", "protocol_violation", f"{HEAD}print(2, flush=True)\n{deed}\n{end}", "the worst that it did counts", PRINTS)
        for what, deed in JUNK.items()
        for then, end in (("exit", "os._exit(0)"), ("nothing", ""), ("flood", "print('x' * 3_000_000)"), ("crash", "ctypes.string_at(0)"), ("loop", "while True: pass"))
    ),
    Row("flood without junk", "output_limit", "print('x' * 3_000_000)", "twin", PRINTS),
    Row("exit without junk", "pass", "import os\nprint(2, flush=True)\nos._exit(0)", "twin", PRINTS),
    Row("crash without junk", "signal", body("ctypes.string_at(0)"), "twin", CALLS),
    *(
        Row(f"no value, then the tests {how} ({kind})", "protocol_violation", code, "known before the tests end", caught(then))
        for kind, code in (("junk", body("if given[0] == 1: os.write(60, b'\\xff' * 40)", "return given[0] + 1")), ("no json", NO_JSON))
        for how, then in (("die", "os._exit(f(2))"), ("hang", "while f(2): pass"), ("pass", "assert f(2) == 3"))
    ),
    Row("exit that cuts an answer off", "premature_exit pass", body("threading.Timer(0.005, os._exit, [0]).start()", "return 'x' * 1_000_000"), "twin: what is there is ours", one("x" * 1_000_000)),
    Row("value with which the tests die", "wrong_answer", body("return 3"), "twin: no tampering", caught("os._exit(f(2))")),
]  # fmt: skip

_RANDOM = {
    "random.Random().random()": 0.3510362050103747,
    "[random.seed(), random.random()][1]": 0.3510362050103747,
    "random.Random(5).random()": 0.6229016948897019,
    "np.random.default_rng().random()": 0.47610760042345146,
    "np.random.Generator(np.random.PCG64()).random()": 0.47610760042345146,
    "np.random.RandomState().rand()": 0.7000987592380502,
    "np.random.default_rng(5).random()": 0.8050029237453802,
}
LOTS = [
    Row(("numpy: " if "np." in drawn else "") + drawn, "pass", ("import numpy as np\n" if "np." in drawn else "") + body(f"return {drawn}"), "verdicts are kept", one(value, value))
    for drawn, value in _RANDOM.items()
] + [
    Row("numpy: tests draw without a seed", "pass", "def f(x):\n    return x", "verdicts are kept", CodeSuite(asserts=("import numpy as np\nx = np.random.default_rng().random()\nassert f(x) == 0.47610760042345146",))),
    Row("tests draw without a seed", "pass", "def f(x):\n    return x", "verdicts are kept", CodeSuite(asserts=("import random\nx = random.Random().random()\nassert f(x) == 0.3510362050103747",))),
    Row("the kernel's numbers", "pass", "import os, random, secrets, uuid\ndef f():\n    return os.urandom(8) != os.urandom(8) and secrets.token_hex() != secrets.token_hex() and uuid.uuid4() != uuid.uuid4() and random.SystemRandom().random() != random.SystemRandom().random()", "they are as they are", one(True)),
]  # fmt: skip

CONTAINMENT = [*MEMORY, *TAMPERING, *LOTS]
