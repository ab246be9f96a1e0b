"""Display: shows the work that is under way, as bars on a terminal or as lines in a log."""

import threading
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from falcon.monitor.work import Work, clock, columns, line

Works = Callable[[], Sequence[Work]]
"""What is under way now, the outermost first."""

BAR = 20
SHORT, ROOM = 16, 76
"""Characters of figures that have room beside a bar; longer ones get lines of their own."""


class Display(Protocol):
    """Shows work from :meth:`start` to :meth:`stop`."""

    def start(self) -> None:
        """Begin to show."""
        ...

    def stop(self) -> None:
        """Show the last state, and no more."""
        ...


class LineDisplay:
    """Calls ``write`` with a line every ``every`` seconds while there is work, from a thread.

    So work that takes long for one unit is seen to live, too. ``said`` makes the line; a line that
    says the same as the one before is left out.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        works: Works,
        every: float,
        said: Callable[[Sequence[Work], float], str] = line,
    ) -> None:
        self._write, self._works, self._every, self._said = write, works, every, said
        self._before = ""
        self._due = 0.0
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to write: the first line comes after ``every`` seconds."""
        self.put_off()
        # Loggers of a flow find their run in the context.
        work = copy_context().run
        self._end.clear()
        self._thread = threading.Thread(target=work, args=(self._tick,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write no more."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def put_off(self) -> None:
        """Something was written just now: the next line comes ``every`` seconds later."""
        self._due = time.monotonic() + self._every

    def now(self) -> None:
        """Write a line at once."""
        with self._lock:
            self.put_off()
            text = self._said(self._works(), time.monotonic())
            if text != self._before:
                self._write(text)
            self._before = text

    def _tick(self) -> None:
        while not self._end.wait(max(0.0, self._due - time.monotonic())):
            if time.monotonic() < self._due:
                continue
            if self._works():
                self.now()
            else:
                self.put_off()


class BarDisplay:
    """Bars at the foot of a terminal; what is printed meanwhile stands above them."""

    def __init__(self, console: Console, works: Works, *, transient: bool) -> None:
        self._works = works
        self._live = Live(
            get_renderable=self._picture,
            console=console,
            transient=transient,
            refresh_per_second=4,
            vertical_overflow="crop",
        )

    def start(self) -> None:
        """Begin to draw."""
        self._live.start()

    def stop(self) -> None:
        """Draw the last state and leave it there, or take it away where it is transient."""
        self._live.stop()

    def _picture(self) -> RenderableType:
        return bars(self._works(), time.monotonic())


def bars(works: Sequence[Work], now: float) -> RenderableType:
    """A row for each piece of work, and one for figures that have no room in it."""
    wide = max((len(work.description) for work in works if work.total), default=0)
    rows: list[RenderableType] = []
    for depth, work in enumerate(works):
        elapsed, figures = clock(now - work.since), work.figures_lines(ROOM)
        if not work.total:
            head = columns(work.description, elapsed) if depth == 0 else f"    {work.description}"
            said = "  ".join(filter(None, [str(work.done or ""), *figures]))
            rows.append(_text(f"{head} {said}".rstrip(), "bold" * (depth == 0)))
            continue
        parts = [*work.parts(now), *([elapsed] if depth == 0 else [])]
        beside = len(figures) == 1 and len(figures[0]) <= SHORT
        rest = "  ".join(filter(None, [*parts, *(figures if beside else [])]))
        row = Table.grid(padding=(0, 2))
        row.add_row(
            _text(f"    {work.description:<{wide}}"),
            ProgressBar(total=work.total, completed=work.done, width=BAR),
            _text(rest),
        )
        rows.append(row)
        if not beside:
            rows += [_text(f"    {each}") for each in figures]
    return Group(*rows)


def _text(words: str, style: str = "") -> Text:
    return Text(words, style=style, no_wrap=True, overflow="ellipsis")
