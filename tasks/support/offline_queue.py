"""Offline queue: calls to the tracker that could not be made, kept in order until they can.

Each call is one JSON line in ``state/spool``, with the contents of its files. A call that does not
reach the tracker is kept and tried again. One that the tracker *rejects* (a bad name, a run it does
not know) is moved to ``refused.jsonl`` with a warning, and tried again when the tracker is another.
A run begun meanwhile gets an id of ours. ``tracking.py`` makes the calls.

A process may be killed at any moment: then calls are made once more, so each must bear that.
"""

import errno
import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from falcon.errors import machine_fault
from tasks.support.errors import CallRejected
from tasks.support.files import write_text
from tasks.support.kept_files import KeptFiles
from tasks.support.tracker_faults import why

Call = dict[str, Any]
LOCAL = "local-"
"""How an id of ours begins."""


class RunWaits(ConnectionError):
    """A call's run is not created yet: that call waits, perhaps in another process's file."""


class OfflineQueue:
    """The waiting calls of one workspace. One file a process, so writers never share one.

    ``tracker`` is the address that calls go to. Threads of a process may share a queue.
    """

    def __init__(
        self,
        folder: Path,
        make: Callable[[Call], None],
        warn: Callable[[str], None],
        *,
        tracker: str = "",
        pause: float = 30.0,
    ) -> None:
        self.folder = folder
        self.files = KeptFiles(folder / "files")
        self._make = make
        self._warn = warn
        self._tracker = tracker
        self._pause = pause
        self._next_try = 0.0
        self._file: Path | None = None
        self._waiting = False
        self.lost = 0
        """Calls that could neither be made nor kept, because the disk was full."""
        self._mutex = threading.RLock()

    @property
    def _refused(self) -> Path:
        return self.folder / "refused.jsonl"

    def submit(self, call: Call) -> bool:
        """Make a call now or keep it. True when it was made (or rejected). Never raises."""
        with self._mutex:
            # Order matters (a run before its metrics): while older calls wait, newer ones do too.
            if self._waiting and not self._catch_up():
                self._keep(call)
                return False
            try:
                self._make(call)
            except CallRejected as fault:
                with _locked(self.folder):
                    self._set_aside(call, str(fault))
            except Exception as fault:  # noqa: BLE001 - whatever the tracker does, work goes on
                self._warn(
                    f"the tracker cannot be reached, spooling to {self.folder}: {why(fault)}"
                )
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
        # Its creator cannot know whether the tracker got a call whose answer never came.
        call = call | {"kept": True}
        try:
            # Another process may be replaying this file and is about to remove it.
            with _locked(self.folder):
                _append(self._own_file(), self._with_contents(call))
        except FileNotFoundError as fault:
            self._set_aside(call, f"{fault.filename} is gone")
        except OSError as fault:
            self._lose(fault)
        self._waiting = True

    def _with_contents(self, call: Call) -> Call:
        if "path" not in call:
            return call
        files = self.files.keep(Path(call["path"]))
        return {key: value for key, value in call.items() if key != "path"} | {"files": files}

    def _lose(self, fault: OSError) -> None:
        self.lost += 1
        if self.lost == 1:
            self._warn(
                f"the record of this run has gaps from here: {machine_fault(fault) or fault}"
            )

    def _own_file(self) -> Path:
        # Named by the time of its first call, and files are replayed by name: so a run is usually
        # created before its children of other processes.
        if self._file is None:
            name = f"{time.time_ns():020d}-{os.getpid()}-{uuid.uuid4().hex[:6]}.jsonl"
            self._file = self.folder / name
        return self._file

    def _set_aside(self, call: Call, reason: str) -> None:
        self._warn(f"the tracker refused `{call.get('op')}`: {reason[:300]}")
        aside = {"refused": reason, "tracker": self._tracker}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # then there is nothing to send to any tracker
                call = self._with_contents(call)
            _append(self._refused, call | aside)
        except OSError as fault:
            self._lose(fault)

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
        return sorted(p for p in self.folder.glob("*.jsonl") if p != self._refused)

    def replay(self) -> bool:
        """Make the waiting calls once, oldest first, until an outage. True when none is left."""
        with self._mutex:
            if not self._files() and not self._refused.is_file():
                self._waiting = False
                return True
            # Two processes that replay at once would make calls twice, so the second leaves it.
            with _locked(self.folder, wait=False) as locked:
                if not locked:
                    return False
                try:
                    self._take_back_refused()
                    done = self._replay_files()
                except OSError as fault:  # such as a full disk; the calls are still there
                    self._warn(f"calls still wait: {machine_fault(fault) or fault}")
                    done = False
                if done:
                    self.files.drop_all_but(_digests(_read_calls(self._refused)))
            self._waiting = not done
            return done

    def _take_back_refused(self) -> None:
        """Let calls that another tracker refused wait for this one, which may know their runs."""
        refused = _read_calls(self._refused)
        again = [call for call in refused if call.get("tracker", "") != self._tracker]
        if not again:
            return
        file = self.folder / f"{time.time_ns():020d}-{os.getpid()}-again.jsonl"
        plain = [
            {k: v for k, v in call.items() if k not in ("refused", "tracker")} for call in again
        ]
        write_text(file, _lines(plain))
        rest = [call for call in refused if call not in again]
        if rest:
            write_text(self._refused, _lines(rest))
        else:
            self._refused.unlink()

    def _replay_files(self) -> bool:
        went_on = True
        # A file may wait for a creation in a later one: the clock was set back in between.
        while went_on and (files := self._files()):
            went_on = False
            for file in files:
                before = len(_read_calls(file))
                try:
                    self._replay_file(file)
                    went_on = True
                except RunWaits:
                    went_on = went_on or len(_read_calls(file)) < before
                except Exception as fault:  # noqa: BLE001 - still an outage: keep the rest
                    self._warn(f"{self.pending()} calls still wait: {why(fault)[:120]}")
                    return False
        return not self._files()

    def _replay_file(self, file: Path) -> None:
        calls = _read_calls(file)
        for made, call in enumerate(calls):
            try:
                self._make(call)
            except CallRejected as fault:
                self._set_aside(call, str(fault))
            except Exception:
                if made:
                    write_text(file, _lines(calls[made:]))
                raise
        file.unlink()


def _lines(calls: Iterable[Call]) -> str:
    return "".join(json.dumps(call) + "\n" for call in calls)


def _append(file: Path, call: Call) -> None:
    """Add a line, whole or not at all. Raises OSError."""
    data = _lines([call]).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab", buffering=0) as handle:
        size = handle.tell()
        try:
            if handle.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
            os.fsync(handle.fileno())
        except OSError:
            handle.truncate(size)
            raise


def _read_calls(file: Path) -> list[Call]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    # A process that was killed while it wrote leaves a last line without its newline.
    complete = text[: text.rfind("\n") + 1]
    return [json.loads(line) for line in complete.splitlines() if line]


def _digests(calls: Iterable[Call]) -> set[str]:
    return {digest for call in calls for digest in call.get("files", {}).values()}


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
