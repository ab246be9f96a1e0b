"""Console monitor: bars on a terminal, and a line from time to time elsewhere."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console

from falcon.monitor.display import BarDisplay, Display, LineDisplay, Works
from falcon.monitor.work import Work

EVERY = 30.0
"""Seconds between two lines of a log."""


class ConsoleMonitor:
    """Shows what is under way on ``console``, by default standard error.

    On a terminal these are bars with pace and time left. Elsewhere it is a line every ``every``
    seconds, also while nothing advances, and one at the end of the outermost work.
    """

    def __init__(self, console: Console | None = None, *, every: float = EVERY) -> None:
        self._console = console or Console(stderr=True)
        self._every = every
        self._works: list[Work] = []
        self._display: Display | None = None

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Nothing: a console shows progress; figures belong to a tracker."""

    @contextmanager
    def progress(self, description: str, total: int, done: int = 0) -> Iterator[Work]:
        """A piece of work; may be nested."""
        work = Work(description, total, done, begun=done)
        outermost = not self._works
        self._works.append(work)
        if outermost:
            self._display = make_display(self._console, lambda: tuple(self._works), self._every)
            self._display.start()
        try:
            yield work
        finally:
            if outermost and self._display is not None:
                self._display.stop()
                if isinstance(self._display, LineDisplay):
                    self._display.now()
            self._works.remove(work)


def make_display(
    console: Console, works: Works, every: float, *, transient: bool = False
) -> BarDisplay | LineDisplay:
    """What suits a console. ``transient``: bars go away at the end."""
    if console.is_interactive:
        return BarDisplay(console, works, transient=transient)
    return LineDisplay(lambda text: print_plain(console, text), works, every)


def print_plain(console: Console, text: str, style: str = "") -> None:
    """Print a text as it is, however wide the console."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
