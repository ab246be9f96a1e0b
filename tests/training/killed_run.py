"""A training that is killed in the middle of its third step. Run by a test, as a process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.training.setups import make_settings, run_training


class Killer:
    """Kills its process once programs are executed after two steps were logged."""

    def __init__(self) -> None:
        self.steps = 0

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self.steps = step + 1

    @contextmanager
    def progress(self, description: str, total: int, done: int = 0) -> Iterator[Killer]:
        if self.steps == 2 and description != "training steps":
            os.kill(os.getpid(), signal.SIGKILL)
        yield self

    def advance(self, n: int = 1, **rates: Any) -> None:
        pass


if __name__ == "__main__":
    run_training(
        Path(sys.argv[2]), make_settings(Path(sys.argv[1])), monitor=Killer(), run_id="first"
    )
