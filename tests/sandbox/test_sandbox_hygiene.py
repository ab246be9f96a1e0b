"""Nothing is left behind, whatever ran and whoever was killed; the pool heals."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from cases import ADD, FAILING, FORGED, one
from limits import small

from falcon.sandbox import Outcome, Program, Sandbox

RIGHT = Program("def add(a, b):\n    return a + b", ADD)
BAD = ("loops in a call", "fork bomb by clone3", "thread bomb", "stdout flood", "kills everybody")


def family(pid: int | None = None) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def gone(processes: list[psutil.Process], seconds: float = 20.0) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def newest_worker() -> psutil.Process:
    """The worker started last; process numbers wrap around, so they do not tell."""
    return max(psutil.Process().children(), key=lambda child: child.create_time())


@pytest.mark.parametrize("level", ["L3", "L2"])
def test_nothing_left_after_bombs_and_timeouts(level: str) -> None:
    before = {p.pid for p in family()}
    files = len(os.listdir("/proc/self/fd"))
    rows = {row.name: row for row in [*FAILING, *FORGED]}
    programs = [Program(rows[name].code, rows[name].suite) for name in BAD]
    with Sandbox(small(workers=2), level=level) as running:
        running.judge_all([RIGHT, *programs])
        resting = family()
        assert running.judge_all([RIGHT] * 4)[-1].passed
        # A slot is a worker and at most six helpers; no program may have added to them.
        assert len(resting) <= len(before) + 2 * 7
        helpers = [p for p in family() if p.pid not in before]
    assert gone(helpers)
    assert {p.pid for p in family()} <= before
    assert len(os.listdir("/proc/self/fd")) <= files


def test_files_and_processes_stay_flat_over_many_runs(sandbox: Sandbox) -> None:
    def count() -> tuple[int, int]:
        helpers = family()
        return len(helpers), sum(p.num_fds() for p in helpers)

    sandbox.judge_all([RIGHT] * 12)
    before = count()
    assert all(v.passed for v in sandbox.judge_all([RIGHT] * 300))
    assert count() == before


def test_every_killed_helper_heals() -> None:
    with Sandbox(small(workers=1)) as running:
        assert running.judge(RIGHT).passed
        for _ in range(2):
            worker = newest_worker()
            for helper in worker.children(recursive=True):
                helper.kill()
            assert running.judge(RIGHT).passed
        newest_worker().kill()
        assert running.judge(RIGHT).passed


def test_a_program_with_which_the_zygote_always_dies_is_to_blame() -> None:
    """No verdict would be worth more to a policy than a failure."""
    endless = Program("def add(a, b):\n    while True: pass", ADD)
    with Sandbox(small(workers=1, retries=2, cpu_seconds=20, total_cpu_seconds=60)) as running:
        assert running.judge(RIGHT).passed
        worker = newest_worker()
        with ThreadPoolExecutor(1) as threads:
            verdict = threads.submit(running.judge, endless)
            for _ in range(3):
                zygote = _busy_zygote(worker)
                zygote.kill()
                zygote.wait(20)
        assert verdict.result().outcome is Outcome.PROTOCOL_VIOLATION
        assert "breaks the sandbox" in verdict.result().error.message
        assert running.judge(RIGHT).passed


def _busy_zygote(worker: psutil.Process) -> psutil.Process:
    """The one whose process 1 has a child that runs a program."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(psutil.NoSuchProcess):
            for zygote in worker.children():
                if any(process.children() for process in zygote.children()):
                    return zygote
        time.sleep(0.05)
    raise AssertionError("no program runs")


def test_a_fault_of_ours_is_reported_after_the_retries() -> None:
    with Sandbox(small(workers=1, retries=0)) as running:
        assert running.judge(RIGHT).passed
        zygotes = [p for p in newest_worker().children() if p.children()]
        assert zygotes
        family_of_it = [zygotes[0], *zygotes[0].children(recursive=True)]
        zygotes[0].kill()
        assert gone(family_of_it[1:])
        verdict = running.judge(RIGHT)
        assert verdict.outcome is Outcome.SANDBOX_ERROR
        assert "zygote" in verdict.detail
        assert running.judge(RIGHT).passed


@pytest.mark.parametrize("level", ["L3", "L2"])
def test_killing_the_trainer_ends_every_process(level: str, tmp_path: Path) -> None:
    script = (
        "import sys, threading; sys.path.insert(0, sys.argv[1])\n"
        "from limits import small\nfrom cases import ADD\n"
        "from falcon.sandbox import Program, Sandbox\n"
        f"s = Sandbox(small(cpu_seconds=100, total_cpu_seconds=100), level={level!r})\n"
        "s.judge_all([Program('def add(a, b): return a + b', ADD)] * 6)\n"
        "print('up', flush=True)\n"
        "s.judge_all([Program('def add(a, b):\\n    while True: pass', ADD)] * 3)\n"
    )
    trainer = subprocess.Popen(
        [sys.executable, "-c", script, str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert trainer.stdout is not None
    assert trainer.stdout.readline() == "up\n"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        helpers = family(trainer.pid)
        if sum(p.cpu_times().user > 0.2 for p in helpers) >= 1 and len(helpers) >= 9:
            break
        time.sleep(0.1)
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    trainer.stdout.close()
    assert gone(helpers)


def test_one_program_cannot_touch_the_next(sandbox: Sandbox) -> None:
    vandal = Program(
        "import builtins, json, math, random, os\n"
        "builtins.sum = lambda *a: 0\nmath.pi = 3\njson.dumps = None\n"
        "open('/tmp/left', 'w').write('x')\nos.makedirs('/tmp/a/b')\n"
        "def add(a, b): return a + b",
        ADD,
    )
    honest = Program(
        "import math, os\ndef add(a, b):\n    assert math.pi > 3 and not os.path.exists('/tmp/left')\n"
        "    assert os.path.exists('/etc') or os.listdir('/tmp') == []\n    return sum([a, b])",
        ADD,
    )
    if sandbox.isolation != "L3":
        pytest.skip("there is no scratch folder without a mount namespace")
    verdicts = sandbox.judge_all([vandal, honest] * 6)
    assert [v.passed for v in verdicts] == [True] * 12


def test_random_numbers_and_hashes_are_the_same_in_every_run(sandbox: Sandbox) -> None:
    seeded = "import random\ndef f():\n    return random.random() == random.Random(0).random()"
    hashed = "def f():\n    return hash('falcon')"
    fixed = subprocess.check_output(
        [sys.executable, "-c", "print(hash('falcon'))"], env={"PYTHONHASHSEED": "0"}
    )
    assert sandbox.judge(Program(seeded, one(True))).passed
    assert sandbox.judge(Program(hashed, one(int(fixed)))).passed
