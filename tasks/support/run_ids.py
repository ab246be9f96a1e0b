"""Run ids: ours, given while the tracker is away, and the real ones that it gives later."""

import uuid
from pathlib import Path

from tasks.support.files import write_text

LOCAL = "local-"
"""How an id of ours begins."""


class RunIds:
    """Maps ids of ours to the tracker's, in one small file each, so processes never collide."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def provisional() -> str:
        """A new id of our own."""
        return f"{LOCAL}{uuid.uuid4().hex}"

    def learn(self, ours: str, real: str) -> None:
        """Remember the real id of a run."""
        write_text(self._folder / ours, real)

    def known(self, run: str) -> str:
        """The tracker's id, or ours while the tracker has given none."""
        try:
            return self.real(run)
        except KeyError:
            return run

    def real(self, run: str) -> str:
        """The tracker's id. Raises KeyError for a run that the tracker has not created yet."""
        if not run.startswith(LOCAL):
            return run
        try:
            return (self._folder / run).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise KeyError(run) from None
