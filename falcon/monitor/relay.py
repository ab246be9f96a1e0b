"""Relay: a process tells the one that reads its output what it is at, in lines of their own kind.

A stage is a grandchild of the command that started it, and what it prints is all that they share.
Each line holds the whole state, so that one that is lost does no harm.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TextIO

from falcon.monitor.display import LineDisplay
from falcon.monitor.work import Work

RELAY = "FALCON_PROGRESS"
"""Variable of the environment that is "relay" where somebody reads such lines."""
MARK = "falcon-progress: "
"""How they begin."""


class RelayMonitor:
    """Writes what is under way to ``stream`` when it changed, at most every ``every`` seconds."""

    def __init__(self, stream: TextIO | None = None, *, every: float = 0.5) -> None:
        self._stream = stream or sys.stderr
        self._works: list[Work] = []
        self._display = LineDisplay(self._write, lambda: tuple(self._works), every, _packed)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Nothing: figures belong to a tracker."""

    @contextmanager
    def progress(self, description: str, total: int, done: int = 0) -> Iterator[Work]:
        """A piece of work; may be nested."""
        work = Work(description, total, done, begun=done)
        self._works.append(work)
        if outermost := len(self._works) == 1:
            self._display.start()
        self._display.now()
        try:
            yield work
        finally:
            if outermost:
                self._display.stop()
            self._works.remove(work)
            self._display.now()

    def _write(self, text: str) -> None:
        # After "\r", so that a line which a library has not ended is no part of it.
        self._stream.write(f"\r{MARK}{text}\n")
        self._stream.flush()


def _packed(works: Sequence[Work], now: float) -> str:
    return json.dumps([asdict(work) for work in works])


def is_relayed(line: str) -> bool:
    """Whether a line is one of :class:`RelayMonitor`."""
    return line.startswith(MARK)


def relayed(line: str) -> list[Work]:
    """The work that a line of :class:`RelayMonitor` tells of; nothing where the line is cut."""
    try:
        return [Work(**each) for each in json.loads(line.removeprefix(MARK))]
    except (ValueError, TypeError):
        return []
