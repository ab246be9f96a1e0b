"""Run console: what a person sees of a run: what is under way, and a line for what has ended.

One is shown at a time. Where none is, as under a schedule, flows and stages find a silent one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap
from types import TracebackType

from rich.console import Console

from falcon.config import Settings, profile_of
from falcon.errors import without_passwords
from falcon.monitor.console import EVERY, make_display, print_plain
from falcon.monitor.display import LineDisplay
from falcon.monitor.work import Work, clock, columns
from tasks.support.device import device_text

HOW = {"up to date": "unchanged", "restored": "restored", "ran": ""}
"""What stands in the place of the time where DVC did not run a stage."""
_FLOWS = ("prefect.flow_runs", "prefect.task_runs", "falcon")
"""Loggers whose warnings a person can act on. Errors end the command, which says them itself."""


class RunConsole:
    """Bars on a terminal; elsewhere a line every ``every`` seconds, also while nothing advances.

    ``verbose``: the loggers of Prefect print what is under way, so here is only what has ended.
    """

    def __init__(
        self, console: Console | None = None, *, every: float = EVERY, verbose: bool = False
    ) -> None:
        self._console = console or Console()
        self.verbose = verbose
        self._works: tuple[Work, ...] = ()
        shown = Console(quiet=True) if verbose else self._console
        self._display = make_display(shown, lambda: self._works, every, transient=True)
        self._warnings = _Warnings(self)

    def __enter__(self) -> RunConsole:
        global _shown
        _shown = self
        self._display.start()
        for name in _FLOWS:
            logging.getLogger(name).addHandler(self._warnings)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        global _shown
        _shown = _NONE
        self._display.stop()
        for name in _FLOWS:
            logging.getLogger(name).removeHandler(self._warnings)
        if self._works and fault is not None:
            work = self._works[0]
            ended = "interrupted" if isinstance(fault, KeyboardInterrupt | SystemExit) else "failed"
            self._row(work.description, clock(time.monotonic() - work.since), [ended])

    def head(self, what: str, settings: Settings, root: Path) -> None:
        """One line: what is run, by which settings, with which model, on what."""
        profile, model = profile_of(settings, root), settings.policy.model
        self.say(f"{what}: profile {profile}, model {model}, {device_text()}", style="bold")

    def begin(self, what: str) -> None:
        """This is under way from now on."""
        self._works = (Work(what),)

    def end(self) -> None:
        """It has ended, and says nothing of it."""
        self._works = ()

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """What is under way while the block runs; after a fault in it the end of all says so."""
        self.begin(what)
        yield
        self.end()

    def inside(self, works: Sequence[Work]) -> None:
        """What is under way within it."""
        self._works = (*self._works[:1], *works)

    def finished(self, stage: str, how: str, seconds: float, lines: Sequence[str]) -> None:
        """A row for a stage that has ended: its time, and what came out."""
        self.end()
        self._row(stage, HOW[how] or clock(seconds), lines)

    def warn(self, text: str) -> None:
        """Something that a person may want to act on."""
        self.say(without_passwords(text), style="yellow")

    def say(self, text: str, style: str = "") -> None:
        """A line."""
        print_plain(self._console, text, style)
        if isinstance(self._display, LineDisplay):
            self._display.put_off()

    def _row(self, name: str, when: str, lines: Sequence[str]) -> None:
        head = columns(name, when)
        room = self._console.width - len(head)
        if self._console.is_terminal and room > 20:
            lines = [each for text in lines for each in wrap(text, room)]
        for number, text in enumerate(lines or [""]):
            self.say(f"{' ' * len(head) if number else head}{text}".rstrip())


class _Warnings(logging.Handler):
    """Shows warnings of a flow, without the name of its run."""

    def __init__(self, console: RunConsole) -> None:
        super().__init__(logging.WARNING)
        self._target = console

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING and not self._target.verbose:
            self._target.warn(f"warning: {record.getMessage()}")


_NONE = RunConsole(Console(quiet=True))
_shown = _NONE


def shown() -> RunConsole:
    """The console of the command that runs, or a silent one."""
    return _shown
