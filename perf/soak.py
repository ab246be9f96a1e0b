"""A hundred thousand programs that end in all ways: is anything left behind, does anything grow?

The programs of the conformance table are among them, ten times, attacks and all. Prints a line for
each tenth: programs a second, and processes, open files and memory of the sandbox and its trainer. Exit code 1 when the last line shows more processes or files than
the first, noticeably more memory, a file left in a temporary folder, a verdict that was not
as expected, or a fault of ours. Run: ``make soak``, or ``python -m perf.soak [programs]``.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from falcon.sandbox import Program, Sandbox
from falcon.suite import Call, CallSuite, CodeSuite, Run, StdinSuite
from tests.sandbox.limits import small
from tests.sandbox.verdicts import ROWS

ADD = CallSuite(
    entry_point="add", calls=(Call(args=(1, 2), expected=3), Call(args=(5, 7), expected=12))
)
LOOPED = CodeSuite(
    entry_point="add",
    check="def check(c):\n    for i in range(3):\n        assert c(i, 1) == i + 1\n",
)
SUM = StdinSuite(runs=(Run(stdin="1 2\n", expected="3\n"),))
RIGHT = "def add(a, b):\n    return a + b"
MIX: list[tuple[str, Program]] = [
    *[("pass", Program(f"{RIGHT}\n# {i}", ADD)) for i in range(10)],
    ("pass", Program(RIGHT, LOOPED)),
    ("pass", Program("print(sum(map(int, input().split())))", SUM)),
    ("pass", Program("import numpy as np\ndef add(a, b):\n    return np.int64(a + b)", ADD)),
    ("wrong_answer", Program("def add(a, b):\n    return a", ADD)),
    ("runtime_error", Program("def add(a, b):\n    return a / 0", ADD)),
    ("syntax_error", Program("def add(a, b)\n    return a", ADD)),
    ("premature_exit", Program("import os\ndef add(a, b):\n    os._exit(0)", ADD)),
    ("signal", Program("import os\ndef add(a, b):\n    os.abort()", ADD)),
    ("memory", Program("def add(a, b):\n    return bytearray(1 << 40)", ADD)),
    ("pass", Program("import tempfile\nopen(tempfile.mktemp(), 'w')\n" + RIGHT, ADD)),
]
RARE = ("timeout", Program("def add(a, b):\n    while True: pass", ADD))
"""One program in two thousand: each takes its whole time limit."""


@dataclass(frozen=True)
class State:
    """What the trainer and everything below it hold."""

    processes: int
    files: int
    memory: int
    left: int

    @classmethod
    def now(cls) -> State:
        """The state at this moment."""
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        memory = sum(p.memory_info().rss for p in family)
        folders = [Path(tempfile.gettempdir()), Path("/dev/shm")]
        left = sum(len(list(folder.iterdir())) for folder in folders if folder.is_dir())
        return cls(len(family), sum(p.num_fds() for p in family), memory, left)


def main(arguments: list[str]) -> int:
    """Run the soak; 0 if nothing is left behind."""
    count = int(arguments[0]) if arguments else 100_000
    table = [Program(row.code, row.suite) for row in ROWS]
    unexpected = 0
    states: list[State] = []
    with Sandbox(small(workers=(os.cpu_count() or 1) + 1)) as sandbox:
        kinds = f"{len(MIX)} kinds and {len(table)} of the table"
        print(f"isolation {sandbox.isolation}, {count} programs of {kinds}")
        _batch(sandbox, 2000)  # warm, so that the first tenth is no exception
        for tenth in range(1, 11):
            start = time.perf_counter()
            unexpected += _batch(sandbox, max(0, count // 10 - len(table)))
            for row, told in zip(ROWS, sandbox.judge_all(table), strict=True):
                if not row.allows(told.outcome.value, told.isolation):
                    unexpected += 1
                    print(f"{row.name}: {told.outcome.value}, not {row.want}")
            rate = (count // 10) / (time.perf_counter() - start)
            states.append(State.now())
            s = states[-1]
            print(
                f"{tenth * (count // 10):>8}  {rate:5.0f}/s  processes {s.processes}"
                f"  files {s.files}  memory {s.memory / 2**20:.0f} MiB  temporary {s.left}"
                f"  unexpected {unexpected}",
                flush=True,
            )
    first, last = states[0], states[-1]
    bad = [
        name
        for name, worse in (
            ("processes", last.processes > first.processes),
            ("open files", last.files > first.files),
            ("memory", last.memory > 1.05 * first.memory + (16 << 20)),  # 5 % and 16 MiB are noise
            ("temporary files", last.left > first.left),
            ("verdicts", unexpected > 0),
        )
        if worse
    ]
    print("not flat: " + ", ".join(bad) if bad else "flat")
    return 1 if bad else 0


def _batch(sandbox: Sandbox, count: int) -> int:
    """Judge ``count`` programs. Returns the number of unexpected verdicts."""
    chosen = [RARE if i % 2000 == 1999 else MIX[i % len(MIX)] for i in range(count)]
    wrong = 0
    for start in range(0, count, 1000):
        part = chosen[start : start + 1000]
        verdicts = sandbox.judge_all([program for _, program in part])
        wrong += sum(v.outcome.value != want for v, (want, _) in zip(verdicts, part, strict=True))
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
