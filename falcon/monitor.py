"""Monitor: where long work reports its progress and its metrics.

The library uses the protocol alone. Here are a silent monitor, and one that draws bars on a
terminal and prints plain lines elsewhere; those of a tracker are in ``tasks/``.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Advance(Protocol):
    """The handle of one piece of work."""

    def advance(self, n: int = 1, **rates: float) -> None:
        """``n`` more units are done; ``rates`` are shown as "name value" (tokens_per_s=310)."""
        ...


@runtime_checkable
class Monitor(Protocol):
    """Where training, rollouts and benchmarks report to."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record ``metrics`` of step ``step`` (counted from 0)."""
        ...

    def progress(self, description: str, total: int) -> AbstractContextManager[Advance]:
        """A piece of work of ``total`` units; ``total`` 0 where the number is unknown."""
        ...


class _Nothing:
    def advance(self, n: int = 1, **rates: float) -> None:
        pass


class SilentMonitor:
    """Prints nothing, and keeps the metrics of all steps in :attr:`logged`."""

    def __init__(self) -> None:
        self.logged: list[tuple[int, dict[str, float]]] = []

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep the metrics of the step."""
        self.logged.append((step, dict(metrics)))

    @contextmanager
    def progress(self, description: str, total: int) -> Iterator[Advance]:
        """A handle that does nothing."""
        yield _Nothing()


def _shown(rates: Mapping[str, float]) -> str:
    return "  ".join(f"{name.replace('_per_', '/')} {value:.4g}" for name, value in rates.items())


class _Bar:
    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars = bars
        self._task = task

    def advance(self, n: int = 1, **rates: float) -> None:
        if rates:
            self._bars.update(self._task, rates=_shown(rates))
        self._bars.advance(self._task, n)


class _Lines:
    """Plain lines for logs: at most one every ``every`` seconds, and a last one at the end."""

    def __init__(self, console: Console, description: str, total: int, every: float) -> None:
        self._console = console
        self._description = description
        self._total = total
        self._every = every
        self._done = 0
        self._rates: dict[str, float] = {}
        self._start = self._last = time.monotonic()

    def advance(self, n: int = 1, **rates: float) -> None:
        self._done += n
        self._rates = rates or self._rates
        if time.monotonic() - self._last >= self._every:
            self.print()

    def print(self) -> None:
        self._last = time.monotonic()
        of = f"/{self._total}" if self._total else ""
        spent = self._last - self._start
        text = f"{self._description}: {self._done}{of}  {spent:.0f} s  {_shown(self._rates)}"
        self._console.print(text.rstrip(), markup=False, highlight=False, soft_wrap=True)


class ConsoleMonitor:
    """Bars with rates on a terminal; elsewhere a line every ``every`` seconds of work."""

    def __init__(self, console: Console | None = None, *, every: float = 10.0) -> None:
        self._console = console or Console(stderr=True)
        self._every = every
        self._bars: Progress | None = None
        self._open = 0

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Nothing: a console shows progress; figures belong to a tracker."""

    @contextmanager
    def progress(self, description: str, total: int) -> Iterator[Advance]:
        """A bar, or plain lines where standard error is no terminal. May be nested."""
        if not self._console.is_terminal:
            lines = _Lines(self._console, description, total, self._every)
            try:
                yield lines
            finally:
                lines.print()
            return
        bars = self._bars or self._new_bars()
        self._open += 1
        task = bars.add_task(description, total=total or None, rates="")
        try:
            yield _Bar(bars, task)
        finally:
            self._open -= 1
            if self._open == 0:
                bars.stop()
                self._bars = None
            else:
                bars.remove_task(task)

    def _new_bars(self) -> Progress:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rates]}"),
            console=self._console,
        )
        self._bars.start()
        return self._bars
