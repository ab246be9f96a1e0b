"""Stage output: what a stage's process prints, sorted: progress, warnings, and the rest for a log.

All of it but progress is in ``state/logs/STAGE.log`` until the stage runs again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from falcon.monitor.console import EVERY
from falcon.monitor.display import LineDisplay
from falcon.monitor.relay import RELAY, is_relayed, relayed
from falcon.monitor.work import Work
from tasks.support.errors import StageFailed
from tasks.support.run_console import shown
from tasks.support.workspace import Workspace

ENVIRONMENT = {RELAY: "relay"}
"""What the stage's process needs in its environment to relay its progress."""
TO_ACT_ON = ("warning: ", "MLflow: ")
"""How those lines of ours begin that a person sees at once."""


class StageOutput:
    """Shows a stage on the run's console while the block runs; ``log`` gets every other line, and
    one on what is under way every ``every`` seconds.

    A failure that is no fault of the user's names the log.
    """

    def __init__(
        self, space: Workspace, stage: str, log: Callable[[str], None], every: float = EVERY
    ) -> None:
        self._file = log_file(space, stage)
        self._stage, self._log = stage, log
        self._works: tuple[Work, ...] = ()
        self._lines = LineDisplay(log, lambda: self._works, every)

    def __enter__(self) -> StageOutput:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._open = self._file.open("w", encoding="utf-8", errors="replace", buffering=1)
        shown().begin(self._stage)
        self._works = (Work(self._stage),)
        self._under_way([Work("getting ready")])
        self._lines.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lines.stop()
        self._open.close()
        if isinstance(fault, StageFailed) and not fault.hopeless and not fault.hint:
            fault.add_hint(f"What it printed: {self._file}")

    def take(self, line: str) -> None:
        """A line of the process."""
        if is_relayed(line):
            # Between its pieces of work a stage reads and writes, and checks what it made.
            self._under_way(relayed(line) or [Work("data and checks")])
            return
        self._open.write(f"{line}\n")
        if line.startswith(TO_ACT_ON):
            shown().warn(line)
        self._log(line)

    def _under_way(self, works: Sequence[Work]) -> None:
        self._works = (*self._works[:1], *works)
        shown().inside(works)


def log_file(space: Workspace, stage: str) -> Path:
    """What a stage printed when it ran last."""
    return space.state / "logs" / f"{stage}.log"
