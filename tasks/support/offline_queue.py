"""Offline queue: calls to the tracker that could not be made, kept in order until they can.

Each call is one JSON line in ``state/spool``. A call that the tracker *rejects* (a bad name, a
deleted run) is moved to ``refused.jsonl`` with a warning; a call that does not reach the tracker
is kept and tried again. A run begun meanwhile gets an id of ours. ``tracking.py`` makes the calls.
"""

import fcntl
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.support.errors import CallRejected
from tasks.support.files import write_text

Call = dict[str, Any]
LOCAL = "local-"
"""How an id of ours begins."""


class OfflineQueue:
    """The waiting calls of one workspace. One file a process, so writers never share one."""

    def __init__(
        self,
        folder: Path,
        make: Callable[[Call], None],
        warn: Callable[[str], None],
        *,
        pause: float = 30.0,
    ) -> None:
        self.folder = folder
        self._make = make
        self._warn = warn
        self._pause = pause
        self._next_try = 0.0
        self._file: Path | None = None
        self._waiting = False

    def submit(self, call: Call) -> bool:
        """Make a call now or keep it. True when it was made (or rejected). Never raises."""
        # Order matters (a run before its metrics): while older calls wait, newer ones wait too.
        if self._waiting and not self._catch_up():
            self._keep(call)
            return False
        try:
            self._make(call)
        except CallRejected as fault:
            self._set_aside(call, str(fault))
        except Exception as fault:  # noqa: BLE001 - whatever the tracker does, work goes on
            text = str(fault).strip().splitlines() or [type(fault).__name__]
            self._warn(f"the tracker cannot be reached, spooling to {self.folder}: {text[0][:200]}")
            self._keep(call)
            self._next_try = time.monotonic() + self._pause
            return False
        return True

    def _catch_up(self) -> bool:
        # Every failed try waits for a timeout, so during an outage we try only now and then.
        if time.monotonic() < self._next_try:
            return False
        self._next_try = time.monotonic() + self._pause
        return self.replay()

    def _keep(self, call: Call) -> None:
        # Another process may be replaying this file and is about to remove it.
        with _locked(self.folder), self._own_file().open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(call) + "\n")
            handle.flush()
            os.fsync(handle.fileno())
        self._waiting = True

    def _own_file(self) -> Path:
        # Named by the time of its first call, and files are replayed by name: so a run is created
        # before its children of other processes.
        if self._file is None:
            name = f"{time.time_ns():020d}-{os.getpid()}-{uuid.uuid4().hex[:6]}.jsonl"
            self._file = self.folder / name
        return self._file

    def _set_aside(self, call: Call, reason: str) -> None:
        self._warn(f"the tracker refused `{call.get('op')}`: {reason[:300]}")
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "refused.jsonl").open("a", encoding="utf-8") as handle:
            handle.write(json.dumps({**call, "refused": reason}) + "\n")

    def pending(self) -> int:
        """Number of calls that wait in this workspace, of all processes."""
        return sum(len(_read_calls(file)) for file in self._files())

    def creates(self, run: str) -> bool:
        """Whether the creation of a run is among the waiting calls of any process."""
        return any(
            call.get("op") == "create" and call.get("run") == run
            for file in self._files()
            for call in _read_calls(file)
        )

    def _files(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(p for p in self.folder.glob("*.jsonl") if p.name != "refused.jsonl")

    def replay(self) -> bool:
        """Make the waiting calls once, oldest first, until an outage. True when none is left."""
        if not self._files():
            self._waiting = False
            return True
        # Two processes that replay at once would make calls twice, so the second one leaves it.
        with _locked(self.folder, wait=False) as locked:
            if not locked or not all(self._replay_file(file) for file in self._files()):
                return False
        self._waiting = False
        return True

    def _replay_file(self, file: Path) -> bool:
        calls = _read_calls(file)
        for made, call in enumerate(calls):
            try:
                self._make(call)
            except CallRejected as fault:
                self._set_aside(call, str(fault))
            except Exception as fault:  # noqa: BLE001 - still an outage: keep the rest
                rest = "".join(json.dumps(each) + "\n" for each in calls[made:])
                write_text(file, rest)
                self._warn(f"{len(calls) - made} calls still wait: {str(fault)[:120]}")
                return False
        file.unlink()
        return True


def _read_calls(file: Path) -> list[Call]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    # A process that was killed while it wrote leaves a last line without its newline.
    complete = text[: text.rfind("\n") + 1]
    return [json.loads(line) for line in complete.splitlines() if line]


@contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a folder's lock, freed when the process dies; False if taken and we do not ``wait``."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


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
