"""Protocol: what the library asks of a monitor, and one that shows nothing."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable

from falcon.monitor.moving_mean import Recent


class Advance(Protocol):
    """The handle of one piece of work."""

    def advance(self, n: int = 1, **figures: float | Recent) -> None:
        """``n`` more units are done; ``figures`` are shown as "name value" (tokens_per_s=310)."""
        ...


@runtime_checkable
class Monitor(Protocol):
    """Where training, rollouts and benchmarks report to."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record ``metrics`` of step ``step`` (counted from 0)."""
        ...

    def progress(
        self, description: str, total: int, done: int = 0
    ) -> AbstractContextManager[Advance]:
        """A piece of work of ``total`` units; ``total`` 0 where the number is unknown.

        ``done`` of them were done before, as when it goes on after an interruption.
        """
        ...


class _Nothing:
    def advance(self, n: int = 1, **figures: float | Recent) -> None:
        pass


class SilentMonitor:
    """Prints nothing, and keeps the metrics of all steps in :attr:`logged`."""

    def __init__(self) -> None:
        self.logged: list[tuple[int, dict[str, float]]] = []

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep the metrics of the step."""
        self.logged.append((step, dict(metrics)))

    @contextmanager
    def progress(self, description: str, total: int, done: int = 0) -> Iterator[Advance]:
        """A handle that does nothing."""
        yield _Nothing()
