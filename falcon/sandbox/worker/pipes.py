"""Pipes: a child's standard input and output as the worker holds them."""

from __future__ import annotations

import os


class Pipes:
    """Our ends, both non-blocking, and what is left to feed. ``theirs``: the child's ends."""

    def __init__(self, feed: bytes, most_output: int) -> None:
        stdin, self.stdin = os.pipe2(os.O_CLOEXEC)
        self.stdout, stdout = os.pipe2(os.O_CLOEXEC)
        self.theirs = [stdin, stdout]
        self._left, self._most = memoryview(feed), most_output
        self.output = bytearray()
        os.set_blocking(self.stdin, False)
        os.set_blocking(self.stdout, False)

    def feed(self) -> None:
        """Write what fits; close the input once all is written or nobody reads it."""
        try:
            self._left = self._left[os.write(self.stdin, self._left[: 1 << 16]) :]
        except BlockingIOError:
            return
        except OSError:
            self._left = self._left[:0]
        if not self._left:
            os.close(self.stdin)
            self.stdin = -1

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
        """Release our ends."""
        for fd in (self.stdin, self.stdout):
            if fd >= 0:
                os.close(fd)
        self.stdin = self.stdout = -1
