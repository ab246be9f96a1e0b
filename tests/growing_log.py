"""A log that other threads write to, and that can be waited for."""

from __future__ import annotations

import io
import re
import threading


class GrowingLog(io.StringIO):
    """What a log gets."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Condition()

    def write(self, text: str) -> int:
        with self.changed:
            self.changed.notify_all()
            return super().write(text)

    def lines(self) -> list[str]:
        return self.getvalue().splitlines()

    def wait(self, count: int) -> list[str]:
        """Wait until it has some lines; all it has."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.lines()) >= count, timeout=60)
        return self.lines()

    def wait_for(self, pattern: str) -> None:
        """Wait until a pattern is in it."""
        with self.changed:
            assert self.changed.wait_for(lambda: re.search(pattern, self.getvalue()), timeout=60)
