"""Spool: calls to the tracker that could not be made, kept in order until they can.

Each call is one JSON line. A call the tracker *refuses* (a bad name, a run that was deleted)
is set aside in ``refused.jsonl`` and said; one it cannot be reached for is kept and tried
again. What the calls mean is ``tracking.py``'s business.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from tasks.support.workspace import write_text

Call = dict[str, Any]
Do = Callable[[Call], None]


class Refused(Exception):
    """The tracker answered, and the answer was no: trying again is of no use."""


class Spool:
    """The spooled calls of one workspace. One file a process, so writers never meet."""

    def __init__(self, folder: Path, do: Do, warn: Callable[[str], None], *, pause: float = 30.0):
        self.folder = folder
        self._do = do
        self._warn = warn
        self._pause = pause
        self._next = 0.0
        self._file: Path | None = None
        self._waiting = False

    def submit(self, call: Call) -> bool:
        """Make a call now or spool it. True when it was made (or refused). Never raises."""
        if self._waiting and not self._catch_up():
            self._keep(call)
            return False
        try:
            self._do(call)
        except Refused as no:
            self._set_aside(call, str(no))
        except Exception as fault:  # noqa: BLE001 - whatever the tracker does, work goes on
            text = str(fault).strip().splitlines() or [type(fault).__name__]
            self._warn(f"the tracker cannot be reached, spooling to {self.folder}: {text[0][:200]}")
            self._keep(call)
            self._next = time.monotonic() + self._pause
            return False
        return True

    def _catch_up(self) -> bool:
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self._pause
        return self.replay()

    def _keep(self, call: Call) -> None:
        # Another process may be replaying this file and is about to remove it.
        with _locked(self.folder), self._own_file().open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(call) + "\n")
            handle.flush()
            os.fsync(handle.fileno())
        self._waiting = True

    def _own_file(self) -> Path:
        # Named by its first call, so that a run is made before its children of other processes.
        if self._file is None:
            name = f"{time.time_ns():020d}-{os.getpid()}-{uuid.uuid4().hex[:6]}.jsonl"
            self._file = self.folder / name
        return self._file

    def _set_aside(self, call: Call, why: str) -> None:
        self._warn(f"the tracker refused `{call.get('op')}`: {why[:300]}")
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "refused.jsonl").open("a", encoding="utf-8") as handle:
            handle.write(json.dumps({**call, "refused": why}) + "\n")

    def pending(self) -> int:
        """Calls that wait in this workspace, of all processes."""
        return sum(len(_lines(file)) for file in self._files())

    def makes(self, run: str) -> bool:
        """Whether the creation of a run is among the waiting calls, of whatever process."""
        return any(
            call.get("op") == "create" and call.get("run") == run
            for file in self._files()
            for call in _lines(file)
        )

    def _files(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(p for p in self.folder.glob("*.jsonl") if p.name != "refused.jsonl")

    def replay(self) -> bool:
        """Make the waiting calls, oldest first. True when none is left.

        While another process replays, all is left to it. Stops at the first outage; what was
        made is not made again.
        """
        if not self._files():
            self._waiting = False
            return True
        with _locked(self.folder, wait=False) as mine:
            if not mine or not all(self._replay_file(file) for file in self._files()):
                return False
        self._waiting = False
        return True

    def _replay_file(self, file: Path) -> bool:
        calls = _lines(file)
        for done, call in enumerate(calls):
            try:
                self._do(call)
            except Refused as no:
                self._set_aside(call, str(no))
            except Exception as fault:  # noqa: BLE001 - still an outage: keep the rest
                rest = "".join(json.dumps(each) + "\n" for each in calls[done:])
                temporary = file.with_suffix(".part")
                temporary.write_text(rest, encoding="utf-8")
                os.replace(temporary, file)
                self._warn(f"{len(calls) - done} calls still wait: {str(fault)[:120]}")
                return False
        file.unlink()
        return True


def _lines(file: Path) -> list[Call]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    # A process killed while it wrote leaves a last line without its newline.
    whole = text[: text.rfind("\n") + 1]
    return [json.loads(line) for line in whole.splitlines() if line]


@contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the spool of a folder. Gives False when another holds it and we do not wait."""
    folder.mkdir(parents=True, exist_ok=True)
    handle: TextIO
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


class Names:
    """Ids given to runs while the tracker was away, and the real ids they got later."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def provisional() -> str:
        """A new id of our own."""
        return f"local-{uuid.uuid4().hex}"

    def learn(self, ours: str, real: str) -> None:
        """Remember the real id of a run of ours (a file each, so processes never collide)."""
        write_text(self._folder / ours, real)

    def known(self, run: str) -> str:
        """The tracker's id, or the one given while it is not known."""
        try:
            return self.real(run)
        except KeyError:
            return run

    def real(self, run: str) -> str:
        """The tracker's id. Raises KeyError for a run it has not been told of yet."""
        if not run.startswith("local-"):
            return run
        try:
            return (self._folder / run).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise KeyError(run) from None
