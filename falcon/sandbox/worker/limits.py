"""What one child uses, its time and its standard streams, and what is left of its limits."""

import fcntl
import os
import time
from typing import NamedTuple

from ..wire.launch import MOST_TOTALS
from .handles import cpu_clock, run_delay

_SHARE = 0.25
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class Limits(NamedTuple):
    """Seconds of CPU for a test and for the program, and bytes of output."""

    cpu: float
    total: float
    output: int

    @property
    def wall(self) -> float:
        """Seconds that one test may take by the clock: more than its CPU, for sleepers only."""
        return max(3 * self.cpu, self.cpu + 2)

    def total_of(self, tests: int) -> float:
        """Seconds for so many tests: a quarter of what each may use, at least ``total`` and at
        most four times that."""
        return max(self.total, min(_SHARE * tests * self.cpu, MOST_TOTALS * self.total))


class Stopwatch:
    """CPU and wall time of one child. ``spent``: CPU seconds of the program's other children;
    ``total``: of all of them together, which grows with the tests.

    CPU time decides. Wall time catches sleepers only, so it is wider, and the time a child was
    kept from a processor is taken off it: a busy machine must not change verdicts.
    """

    def __init__(self, limits: Limits, spent: float) -> None:
        self._limits, self._spent, self.total = limits, spent, limits.total
        self.pid, self.cpu = 0, 0.0  # no id: it has not greeted yet, and its clock is unknown
        self.begin_test()

    def begin_test(self) -> None:
        """Time counts for a new test from here."""
        self._cpu_mark, self._wall_mark = self._clock(), time.monotonic()

    def left(self) -> float:
        """Seconds until a limit could be met. Raises TimeoutError when one is."""
        used, limits = self._clock(), self._limits
        cpu_left = min(limits.cpu - (used - self._cpu_mark), self.total - self._spent - used)
        wall_left = limits.wall - (time.monotonic() - self._wall_mark)
        if wall_left <= 0:
            wall_left += self._unfair_wait(20 * limits.wall)
        if cpu_left <= 0 or wall_left <= 0:
            raise TimeoutError("cpu time" if cpu_left <= 0 else "wall time")
        return min(cpu_left, wall_left) + 0.001

    def _clock(self) -> float:
        used = cpu_clock(self.pid) if self.pid else None
        if used is not None and used > self.cpu:
            self.cpu = used  # kept: the clock is gone with the process
        return self.cpu

    def _unfair_wait(self, most: float) -> float:
        """Seconds other work kept it from a processor: none when it made processes itself (by
        a clone3 of its own), because then it waits for those."""
        try:
            with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as file:
                # Behind the name, which may hold blanks and brackets: state, parent, ...
                zygote = int(file.read().rpartition(")")[2].split()[1])
            own, beside = _children(self.pid), _children(zygote) - 1
            # Read only when a wall limit is met: for each test it would cost a file each.
            return 0.0 if own or beside else min(most, run_delay(self.pid))
        except (OSError, ValueError, IndexError):
            return 0.0


def _children(pid: int) -> int:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return len(file.read().split())


class Streams:
    """Standard input and output of one child. ``theirs``: the child's ends.

    The input is a file in memory that nobody can change any more. It has a size and can be read
    from the start again, as where a judge redirects a file, and nobody has to feed it.
    """

    def __init__(self, stdin: bytes, most_output: int) -> None:
        self.stdout, stdout = os.pipe2(os.O_CLOEXEC)
        self.theirs = [_sealed(stdin), stdout]
        self._most = most_output
        self.output = bytearray()
        os.set_blocking(self.stdout, False)

    def collect(self) -> bool:
        """Read what is there; False when there is nothing more for now, or too much."""
        try:
            part = os.read(self.stdout, 1 << 16)
        except BlockingIOError:
            return False
        if not part:
            os.close(self.stdout)
            self.stdout = -1
            return False
        self.output += part
        return not self.overflows

    @property
    def overflows(self) -> bool:
        """Whether the program wrote more than it may."""
        return len(self.output) > self._most

    def close(self) -> None:
        """Release our end."""
        if self.stdout >= 0:
            os.close(self.stdout)
            self.stdout = -1


def _sealed(content: bytes) -> int:
    """A file in memory that can only be read, at its beginning."""
    fd = os.memfd_create("stdin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]
    os.lseek(fd, 0, os.SEEK_SET)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd
