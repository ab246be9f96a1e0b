"""The monitor: bars on a terminal, lines in a log, relayed work, and means that do not jump."""

from __future__ import annotations

import io
import math
import os
import pty
import re
import subprocess
import sys
import time

import pytest
from rich.console import Console

from falcon.monitor import ConsoleMonitor, MovingMean, RelayMonitor
from falcon.monitor.relay import is_relayed, relayed
from falcon.monitor.work import Work, clock, line
from tests.growing_log import GrowingLog


def on_log(every: float) -> tuple[ConsoleMonitor, GrowingLog]:
    log = GrowingLog()
    return ConsoleMonitor(Console(file=log, width=40), every=every), log


def test_a_mean_is_of_the_last_ten_and_leaves_out_what_is_not_finite() -> None:
    mean = MovingMean([5.0] * 3)  # of the steps before an interruption
    first = mean.add(1.0)
    assert (first.last, first.mean, first.count) == (1.0, 4.0, 4)
    for value in range(10):
        recent = mean.add(float(value))
    assert (recent.last, recent.mean, recent.count) == (9.0, 4.5, 10)
    assert str(recent) == "9.00 (mean of 10: 4.50)"
    gap = mean.add(math.nan)
    assert (gap.mean, gap.count) == (5.0, 9)
    assert math.isnan(MovingMean().add(math.inf).mean)


def test_a_log_gets_a_line_while_nothing_advances() -> None:
    monitor, log = on_log(every=0.01)
    with monitor.progress("rollout", 0), monitor.progress("generate", 8) as bar:
        bar.advance(3, tokens_per_s=31.24)
        before = len(log.lines())
        after = log.wait(before + 2)[-1]  # no unit was finished meanwhile
    assert "generate 3/8" in after
    assert after.endswith("tokens/s 31.2")
    assert "\x1b" not in log.getvalue()


def test_a_log_gets_no_line_before_its_time_and_one_at_the_end() -> None:
    monitor, log = on_log(every=3600.0)
    with monitor.progress("benchmark", 2) as outer:
        for _ in range(2):
            with monitor.progress("generate", 100) as bar:
                for _ in range(100):
                    bar.advance(passed=0.5)
            outer.advance()
        assert log.lines() == []
    (last,) = log.lines()
    assert last.startswith("  benchmark ")
    assert "2/2" in last


def test_time_left_counts_from_where_work_began() -> None:
    work = Work("training steps", 10, done=4, begun=4, since=100.0)
    assert work.parts(130.0) == ["4/10", "", ""]
    work.done, work.advanced = 6, 140.0  # two steps in 40 s
    assert work.parts(140.0) == ["6/10", "20 s each", "1:20 left"]
    assert work.parts(150.0)[-1] == "1:10 left"
    assert work.parts(500.0)[-1] == ""  # it takes longer than it did: nothing is promised
    fast = Work("judging", 100, done=50, since=100.0, advanced=110.0)
    assert fast.parts(110.0) == ["50/100", "5/s", "0:10 left"]
    assert [clock(s) for s in (0.4, 61, 3723)] == ["0:00", "1:01", "1:02:03"]
    assert line([Work("train", since=100.0), fast], 110.0) == (
        "  train        at 0:10  judging 50/100, 5/s, 0:10 left"
    )


def test_a_terminal_shows_bars_with_the_last_value_beside_the_mean() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, height=24, _environ={})
    reward = MovingMean([0.3, 0.5])
    monitor = ConsoleMonitor(console)
    with monitor.progress("training steps", 4, done=2) as bar:
        bar.advance(reward=reward.add(0.1), tokens_per_s=300.0)
        with monitor.progress("generate", 8) as inner:
            inner.advance(5)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "training steps  ━" in text
    assert "3/4" in text
    assert "reward 0.10 (mean of 3: 0.30)  tokens/s 300" in text
    assert max(len(row) for row in re.split(r"[\r\n]", text)) <= 80


RELAYED = """
import sys
from falcon.monitor import MovingMean, RelayMonitor
monitor = RelayMonitor(every=3600.0)
sys.stderr.write("a line that a library has not ended")
with monitor.progress("training steps", 4, done=1) as bar:
    bar.advance(reward=MovingMean([1.0]).add(0.0))
    with monitor.progress("generate", 8) as inner:
        inner.advance(2, tokens_per_s=12.0)
"""


def test_work_of_another_process_is_relayed_whole() -> None:
    done = subprocess.run([sys.executable, "-c", RELAYED], stderr=subprocess.PIPE, check=True)
    told = done.stderr.decode().split("\n")
    lines = [each.rsplit("\r", 1)[-1] for each in told if each]
    assert all(is_relayed(each) for each in lines)
    states = [relayed(each) for each in lines]
    assert [len(works) for works in states] == [1, 2, 1, 0]
    outer, inner = states[1]
    assert (outer.description, outer.done, outer.begun) == ("training steps", 2, 1)
    assert outer.figures == {"reward": "0.00 (mean of 2: 0.50)"}
    assert outer.pace > 0
    assert (inner.description, inner.total) == ("generate", 8)
    assert relayed(lines[0][:-5]) == []  # cut off: as if nothing had come


def test_work_that_advances_is_relayed_between_its_ends() -> None:
    log = GrowingLog()
    monitor = RelayMonitor(log, every=0.01)
    with monitor.progress("generate", 100_000) as bar:
        states = []
        while len(states) < 3:  # the same state is not told twice
            bar.advance()
            states = [w.done for each in log.lines() for w in relayed(each.strip("\r"))]
            time.sleep(0.001)
    assert sorted(set(states)) == states


BARS = """
from rich.console import Console
from falcon.monitor import ConsoleMonitor
with ConsoleMonitor(Console(stderr=True)).progress("judging", 3) as bar:
    bar.advance(3)
"""


@pytest.mark.parametrize("terminal", ["xterm", "dumb"])
def test_a_real_terminal_gets_bars_and_a_dumb_one_lines(terminal: str) -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": terminal, "COLUMNS": "80", "LINES": "24"}
    child = subprocess.Popen(
        [sys.executable, "-c", BARS], stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    said = b""
    try:
        while chunk := os.read(ours, 4096):
            said += chunk
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    assert child.wait() == 0, said
    assert b"3/3" in said
    assert (b"\x1b[" in said) == (terminal == "xterm")
