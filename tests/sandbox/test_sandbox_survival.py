"""Whatever a program does, every helper of the sandbox lives on, or the program is blamed.

Programs are put together from things that have ended or confused a grader: strange values, signals
to whoever is there, closed files, forks, limits, folders that cannot be removed. None may end
without a verdict on the program, and none may pass.
"""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st
from limits import small

from falcon.sandbox import Outcome, Program, Sandbox
from falcon.suite import CallSuite, CodeSuite, Run, StdinSuite, Suite

RIGHT = "def f(x):\n    return x + 1\n"
SUITES: dict[str, Suite] = {
    "call": CallSuite.model_validate(
        {"kind": "call", "entry_point": "f", "calls": [{"args": [1], "expected": 2}] * 2}
    ),
    "asserts": CodeSuite(asserts=("assert f(1) == 2", "assert f(f(1)) == 3")),
    "check": CodeSuite(
        entry_point="f",
        check="def check(c):\n    for x in (1, 2, 3):\n        assert c(x) == x + 1\n",
    ),
    "live": CodeSuite(
        setup="class N:\n    def __init__(self, n): self.n = n\n    def __add__(self, k): return N(self.n + k)",
        asserts=("assert f(N(1)).n == 2", "for x in (N(1), N(2)):\n    assert f(x).n == x.n + 1"),
    ),
    "suppressing": CodeSuite(
        asserts=("try:\n    f('')\nexcept TypeError:\n    pass\nassert f(1) == 2",)
    ),
}
STDIN = StdinSuite(runs=(Run(stdin="1\n", expected="2\n"),))

SCALARS = st.one_of(
    st.integers(-3, 3).filter(lambda n: n != 2).map(repr),
    st.sampled_from(
        [
            "10**400", "-(10**5000)", "1e400", "float('nan')", "-0.0", "complex(1.7e308, 1.7e308)",
            "1j", "'\\ud800'", "'x' * 300_000", "b'\\xff'", "None", "...", "NotImplemented", "object()",
            "f", "type", "int", "lambda: 2", "(x for x in [2])", "iter([2])", "range(10**9)", "print",
            "__import__('sys')", "open('/dev/null')", "memoryview(b'2')", "Exception('2')",
            "type('E', (int,), {'__eq__': lambda s, o: True, '__hash__': lambda s: 2})(5)",
            "type('E', (), {'__eq__': lambda s, o: True, '__reduce__': lambda s: (exit, (0,))})()",
            "type('E', (str,), {'__repr__': lambda s: '2'})('2')",
            "type('L', (list,), {'__len__': lambda s: -1})([2])",
        ]
    ),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: f"({', '.join(items)},)"),
        inner.map(lambda item: f"{{'k': {item}}}"),
        inner.map(lambda item: f"Loop({item})"),
    ),
    max_leaves=6,
)
PIDS = st.sampled_from(["0", "-1", "1", "2", "os.getpid()", "os.getppid()", "os.getpid() - 1"])
SIGNALS = st.sampled_from(
    ["SIGINT", "SIGTERM", "SIGKILL", "SIGSTOP", "SIGCHLD", "SIGALRM", "SIGHUP"]
)
DEEDS = st.one_of(
    st.builds("os.kill({}, signal.{})".format, PIDS, SIGNALS),
    st.builds("os.close({})".format, st.integers(0, 70)),
    st.builds("os.dup2({}, {})".format, st.integers(0, 64), st.integers(0, 64)),
    st.builds("os.write({}, {!r})".format, st.integers(0, 64), st.binary(max_size=30)),
    st.builds("sys.exit({})".format, st.sampled_from(["0", "2", "'2'", "None"])),
    st.builds("os._exit({})".format, st.integers(0, 3)),
    st.sampled_from(
        [
            f"raise {e}"
            for e in ("KeyboardInterrupt", "SystemExit", "GeneratorExit", "MemoryError",
                      "BaseException('x')", "AssertionError", "type('E', (BaseException,), {})")
        ]
    ),
    st.sampled_from(
        [
            "os.fork()", "os.setsid()", "os.abort()", "signal.alarm(1)", "sys.setrecursionlimit(10**9)",
            "os.chdir('/tmp'); [(os.mkdir('d' * 200), os.chdir('d' * 200)) for _ in range(40)]",
            "os.mkdir('/tmp/locked'); os.chmod('/tmp/locked', 0)",
            "open('/tmp/big', 'wb').truncate(1 << 40)", "bytearray(1 << 40)",
            "resource.setrlimit(resource.RLIMIT_CPU, (0, 0))",
            "resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))",
            "os.sched_setaffinity(os.getppid(), {0})", "os.setpriority(0, 0, 19)",
            "threading.Thread(target=lambda: os._exit(0)).start()",
            "[threading.Thread(target=time.sleep, args=(9,)).start() for _ in range(40)]",
            "sys.stdout.close()", "sys.stdin.close()", "os.closerange(0, 100)", "gc.disable()",
            "builtins.len = builtins.repr = None", "sys.modules.clear()", "sys.settrace(f)",
            "atexit.register(os._exit, 0)", "print('2' * 3_000_000)", "eval('(' * 500 + ')' * 500)",
        ]
    ),
)  # fmt: skip
HEAD = """\
import atexit, builtins, gc, os, resource, signal, sys, threading, time
def Loop(x):
    made = [x]
    made.append(made)
    return made
def attempt(deed):
    try:
        exec(deed)
    except Exception:
        pass
"""


def _program(deeds: list[str], value: str, loading: bool, caught: bool) -> str:
    lines = [f"attempt({deed!r})" if caught else deed for deed in deeds]
    first, then = (lines, []) if loading else ([], lines)
    body = [*then, f"return {value}"]
    return "\n".join([HEAD, *first, "def f(x):", *(f"    {line}" for line in body)]) + "\n"


PROGRAMS = st.builds(_program, st.lists(DEEDS, max_size=2), VALUES, st.booleans(), st.booleans())
BATCH = st.lists(st.tuples(PROGRAMS, st.sampled_from(sorted(SUITES))), min_size=24, max_size=24)


@pytest.fixture(scope="module")
def wide() -> Iterator[Sandbox]:
    with Sandbox(small(workers=8, cpu_seconds=0.5)) as running:
        yield running


def _workers() -> set[tuple[int, float]]:
    return {(p.pid, p.create_time()) for p in psutil.Process().children()}


@given(batch=BATCH)
@FUZZ
def test_no_program_ends_without_a_verdict_and_no_worker_dies(
    wide: Sandbox, batch: list[tuple[str, str]]
) -> None:
    assert all(v.passed for v in wide.judge_all([Program(RIGHT, SUITES["call"])] * 64))
    before = _workers()
    programs = [Program(code, SUITES[name]) for code, name in batch]
    programs += [Program(code + "\nf(0)\n", STDIN) for code, _ in batch[:4]]
    for program, told in zip(programs, wide.judge_all(programs), strict=True):
        assert told.outcome not in (Outcome.PASS, Outcome.SANDBOX_ERROR), (program.code, told)
    assert _workers() == before  # the trusted processes are those that there were
    assert all(v.passed for v in wide.judge_all([Program(RIGHT, s) for s in SUITES.values()] * 4))
