"""The memory of a slot has a bound (docs/sandbox.md), whatever programs, values and suites do."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping

import psutil
import pytest
from cases import one
from containment_cases import FILES, GROWS_DOWN, HEAP, SHARED, body
from limits import small

from falcon.sandbox import Outcome, Program, Sandbox
from falcon.suite import Call, CallSuite, CodeSuite, Run, StdinSuite, Suite

LIMIT = 64  # MiB: `memory_mib` of these tests
SPACE = LIMIT * 5 // 4 + 96  # address space beside what the interpreter has
COPIED = 4
"""Of pages that the interpreter shares until it writes to them: what it had already, as its own."""
TABLES = 2 * (SPACE + 64)  # two pages of tables for each page, 64 MiB of an interpreter included
HELPER = 512 * 5 // 4 + 96
FROM_RIGHT = "def f(*given):\n    return 1"

FAR_APART = body("for i in range(1, 100_000):", "    p = libc.mmap((1 << 44) + (i << 30), 4096, 1, 0x100022, -1, 0)", "    if p == 2 ** 64 - 1: raise MemoryError", "    ctypes.c_char.from_address(p).value")  # fmt: skip
STACK = body("sys.setrecursionlimit(10 ** 9)", "def g(n): return 1 + g(n + 1)", "return g(0)")
STACKS = body("while True: threading.Thread(target=time.sleep, args=(9,), daemon=True).start()")
PROGRAMS = {
    "heap": (HEAP, SPACE),
    "shared mappings": (SHARED, SPACE + COPIED),
    "mappings that grow down": (GROWS_DOWN, SPACE + COPIED),
    "files without names": (FILES, 8 + 8),
    "page tables": (FAR_APART, SPACE + TABLES),
    "stack": (STACK, SPACE),
    "stacks": (STACKS, SPACE),
}


def fields(pid: int, name: str) -> Mapping[str, int]:
    """Numbers of a file below /proc, in KiB."""
    with open(f"/proc/{pid}/{name}", encoding="ascii") as file:
        lines = [line.split() for line in file]
    return {line[0]: int(line[1]) for line in lines if len(line) == 3 and line[2] == "kB"}


def held(processes: list[psutil.Process]) -> int:
    """MiB of processes: what each has of its own, its part of what is shared, its page tables.

    They are read one after the other: where one ends meanwhile, its part of what is shared counts
    twice. Of two readings that one is the larger, so the smaller counts.
    """
    return min(_held(processes), _held(processes))


def _held(processes: list[psutil.Process]) -> int:
    total = 0
    for process in processes:
        with contextlib.suppress(OSError):  # it has ended
            total += fields(process.pid, "smaps_rollup").get("Pss:", 0)
            total += fields(process.pid, "status").get("VmPTE:", 0)
    return total >> 10


def slot() -> list[psutil.Process]:
    """The worker started last, and what it has started."""
    worker = max(psutil.Process().children(), key=lambda child: child.create_time())
    return [worker, *worker.children(recursive=True)]


def of_role(role: str) -> int:
    """The most that a process of the slot has ever held, in MiB."""
    (process,) = (p for p in slot() if role in p.cmdline())
    return fields(process.pid, "status")["VmHWM:"] >> 10


@contextlib.contextmanager
def peak(measure: Callable[[], int]) -> Iterator[list[int]]:
    """Growth of a measure while the body runs, in the one item of a list."""
    before, grown, done = measure(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            with contextlib.suppress(psutil.Error):
                grown[0] = max(grown[0], measure() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield grown
    finally:
        done.set()
        thread.join()


@pytest.fixture(scope="module", params=["L3", "L2"])
def running(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(small(workers=1, memory_mib=LIMIT), level=request.param) as sandbox:
        assert sandbox.judge(Program(FROM_RIGHT, one(1))).passed
        yield sandbox


@pytest.mark.parametrize("name", PROGRAMS)
def test_of_a_program(running: Sandbox, name: str) -> None:
    code, bound = PROGRAMS[name]
    with peak(lambda: held(slot())) as grown:
        verdict = running.judge(Program(code, one(None)))
    assert grown[0] <= bound
    told = (Outcome.MEMORY, Outcome.RUNTIME_ERROR, Outcome.TIMEOUT, Outcome.SIGNAL)
    assert verdict.outcome in told
    assert running.judge(Program(FROM_RIGHT, one(1))).passed


def test_of_the_compiler(running: Sandbox) -> None:
    """A text of one MiB takes 600 of them to be compiled."""
    with peak(lambda: held(slot())) as grown:
        verdict = running.judge(Program("a\n" * 520_000, one(None)))
    assert grown[0] <= HELPER
    assert verdict.outcome not in (Outcome.PASS, Outcome.SANDBOX_ERROR)


def test_of_tests_that_a_value_leads_to_much(running: Sandbox) -> None:
    tests = CodeSuite(
        asserts=("held = []\nfor x in range(f(1)):\n    held.append(bytes(1 << 20))",)
    )
    with peak(lambda: held(slot())) as grown:
        verdict = running.judge(Program("def f(x):\n    return 10 ** 6", tests))
    assert grown[0] <= HELPER
    assert verdict.outcome is Outcome.WRONG_ANSWER


def test_of_answers_that_wait_for_the_oracle(running: Sandbox) -> None:
    """They are foreseen from the second program on; held together they were some 400 MiB."""
    tests = CodeSuite(asserts=("for x in range(100):\n    assert len(f(x)) == 1_000_000",))
    code = "def f(x):\n    return 'x' * 1_000_000"
    verdicts = [running.judge(Program(f"{code}  # {n}", tests)) for n in range(3)]
    assert all(v.passed for v in verdicts)
    assert of_role("falcon_sandbox.worker.loop") < 110


def test_of_questions_that_an_answer_leads_to(running: Sandbox) -> None:
    tests = CodeSuite(asserts=("x = f('')\nfor _ in range(150):\n    x = f(x)\nassert x == 0",))
    verdict = running.judge(Program("def f(x):\n    return 'x' * 1_000_000", tests))
    assert verdict.outcome is Outcome.WRONG_ANSWER
    assert of_role("falcon_sandbox.worker.loop") < 110


def large(kind: str, number: int) -> Suite:
    """A suite of some 4 MB, another one for each number."""
    text = f"{number} " + "x" * 10_000
    match kind:
        case "call":
            calls = tuple(Call(args=(text, n), expected=1) for n in range(400))
            return CallSuite(entry_point="f", calls=calls)
        case "stdin":
            return StdinSuite(runs=tuple(Run(stdin=text * 100, expected="1\n") for _ in range(4)))
        case "asserts":
            return CodeSuite(asserts=tuple(f"assert f({n}, {text!r}) == 1" for n in range(400)))
    setup = f"DATA = {text * 400!r}"
    return CodeSuite(setup=setup, asserts=("for x in (1, 2):\n    assert f(x, DATA[:9]) == 1",))


@pytest.mark.parametrize("kind", ["call", "stdin", "asserts", "oracle"])
def test_of_a_large_suite_with_many_programs(kind: str) -> None:
    suite, code = large(kind, 0), "print(1)" if kind == "stdin" else FROM_RIGHT
    me = psutil.Process()
    with Sandbox(small(workers=1, total_cpu_seconds=20), level="L3") as sandbox:
        programs = [Program(f"{code}  # {n}", suite) for n in range(80)]
        with peak(lambda: me.memory_info().rss >> 20) as grown:
            assert all(verdict.passed for verdict in sandbox.judge_all(programs))
        assert of_role("falcon_sandbox.worker.loop") < 120
    assert grown[0] < 120


@pytest.mark.parametrize("kind", ["asserts", "oracle"])
def test_of_many_large_suites(kind: str) -> None:
    """What was kept of the earlier ones took the memory that the tests of the later ones need."""
    with Sandbox(small(workers=1, total_cpu_seconds=20), level="L3") as sandbox:
        for number in range(20):
            assert sandbox.judge(Program(FROM_RIGHT, large(kind, number))).passed
        assert of_role("falcon_sandbox.worker.loop") < 120
        assert kind == "asserts" or of_role("oracle") < 120
