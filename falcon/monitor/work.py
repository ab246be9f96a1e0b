"""Work: one piece of long work as it stands, and the words that say so."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from falcon.monitor.moving_mean import Recent

NAME, CLOCK = 10, 9
"""Characters of the columns that begin a line: what is done, and for how long."""


@dataclass(eq=False)
class Work:
    """``done`` of ``total`` units (0: unknown), ``begun`` of them before it started.

    Times are those of ``time.monotonic``, which is one clock for all processes of a machine.
    """

    description: str
    total: int = 0
    done: int = 0
    begun: int = 0
    figures: dict[str, str] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)
    advanced: float = 0.0

    def advance(self, n: int = 1, **figures: float | Recent) -> None:
        """``n`` more units are done."""
        if n:
            self.done += n
            self.advanced = time.monotonic()
        if figures:
            self.figures = {name.replace("_per_", "/"): _text(v) for name, v in figures.items()}

    @property
    def pace(self) -> float:
        """Seconds a unit took on average; 0 before the first one."""
        made = self.done - self.begun
        return (self.advanced - self.since) / made if made > 0 else 0.0

    def parts(self, now: float) -> list[str]:
        """Units done, pace, time left, as far as they are known."""
        count = f"{self.done}/{self.total}" if self.total else str(self.done or "")
        pace, left = self.pace, ""
        if self.total and pace:
            seconds = (self.total - self.done) * pace - (now - self.advanced)
            left = f"{clock(seconds)} left" if seconds > 0 else ""
        return [count, _pace(pace) if pace else "", left]

    def figures_lines(self, room: int) -> list[str]:
        """The figures, as "reward 0.21  passed 0.25", in lines of ``room`` characters."""
        lines: list[str] = []
        for text in (f"{name} {value}" for name, value in self.figures.items()):
            if lines and len(lines[-1]) + len(text) + 2 <= room:
                lines[-1] += f"  {text}"
            else:
                lines.append(text)
        return lines


def _text(value: float | Recent) -> str:
    return str(value) if isinstance(value, Recent) else f"{value:.3g}"


def _pace(seconds: float) -> str:
    if seconds <= 1.0:
        return f"{1 / seconds:.3g}/s"
    return f"{seconds:.2g} s each" if seconds < 10 else f"{seconds:.0f} s each"


def clock(seconds: float) -> str:
    """``0:41``, ``12:05`` or ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def columns(name: str, when: str) -> str:
    """How a line begins: a name and a time, each in its column."""
    return f"  {name:<{NAME}} {when:>{CLOCK}}  "


def line(works: Sequence[Work], now: float) -> str:
    """All that is under way in one line, the outermost first."""
    first, said = works[0], []
    for work in works:
        words = [f"{name} {value}" for name, value in work.figures.items()]
        words = [word for word in (*work.parts(now), *words) if word]
        if work is first:
            said += words[:1] and [", ".join(words)]
        else:
            said.append(f"{work.description} {', '.join(words)}".rstrip())
    return (
        f"{columns(first.description, f'at {clock(now - first.since)}')}{'; '.join(said)}".rstrip()
    )
