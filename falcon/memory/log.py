"""Append-only log: what long-term memory stores; everything else is derived from it.

A folder of segments, each a file of lines ``crc32 json``. A batch is one write and one fsync;
``append`` returns after the fsync. A process killed while it writes leaves at most one torn
last line: the next writer cuts it off, a reader ignores it, and both log a warning. Any other
damage raises an error that names file and line; nothing is skipped.

Records are bytes here; ``long_term.py`` knows what they mean (schema, duplicates, error types).
There is no deletion and no compaction.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import re
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from falcon.errors import UserError

logger = logging.getLogger("falcon.memory")

SEGMENT_BYTES = 64 * 1024 * 1024
_SEGMENT = re.compile(r"segment-(\d{6})\.jsonl")
_HEAD = 9  # eight hex digits and a space

Visit = Callable[[bytes, Path, int], None]
"""Called with each record while a log is opened: its JSON, file and line (from 1)."""


def segment_name(number: int) -> str:
    """File name of the ``number``-th segment (from 1)."""
    return f"segment-{number:06d}.jsonl"


def frame(payload: bytes) -> bytes:
    """A record as it is stored: checksum, space, JSON, newline."""
    return b"%08x %b\n" % (zlib.crc32(payload), payload)


def unframe(line: bytes) -> bytes | None:
    """JSON of a stored line without its newline, or None if the checksum does not match."""
    payload = line[_HEAD:]
    return payload if line[:_HEAD] == b"%08x " % zlib.crc32(payload) else None


def sync_folder(folder: Path) -> None:
    """Make names created in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refused(folder: Path, fault: OSError) -> UserError:
    return UserError(
        f"{folder}: this memory cannot be opened ({fault.strerror or fault}).",
        hint="Check the permissions of the folder and whether the disk is mounted read-only.",
    )


class FolderLock:
    """A lock with one holder at a time, also within one process; freed when the holder dies.

    The lock is a file beside the folder, so that the folder contains data only. Raises
    BlockingIOError when the lock is held.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder.parent / f"{folder.name}.lock"
        # Never unlinked: a waiter could lock the removed file while another makes a new one.
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # flock, not lockf: it belongs to the open file, so it also excludes this process.
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._handle, 32, 0).decode("ascii", "replace").strip()
            os.close(self._handle)
            raise BlockingIOError(errno.EWOULDBLOCK, f"held by process {holder}") from None
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Release the lock."""
        # Unlock before closing: a forked child may still hold a copy of the descriptor.
        fcntl.flock(self._handle, fcntl.LOCK_UN)
        os.close(self._handle)


class Log:
    """An open log. Use :meth:`open`; ``log[i]`` is the JSON of the i-th record."""

    def __init__(self, folder: Path, *, writable: bool, segment_bytes: int) -> None:
        self.folder = folder
        self.writable = writable
        self._segment_bytes = segment_bytes
        self._handles: list[int] = []
        self._size = 0  # bytes of whole records in the last segment
        # Of each record: its segment, where its JSON begins there, and how long it is.
        self._segment, self._offset, self._length = array("L"), array("Q"), array("L")
        self._digest = hashlib.sha256()
        self._lock: FolderLock | None = None
        self._broken = False  # True after a failed append
        self.torn = ""
        """File, line and size of a torn last record that was ignored, or ""."""

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        writable: bool = False,
        visit: Visit | None = None,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> Log:
        """Open and check a log, calling ``visit`` with every record in order.

        A writer creates the folder; a reader needs it. Raises UserError for an absent log,
        damage (file and line), a log that another process is writing, or a disk that cannot be
        written (for a writer).
        """
        log = cls(folder, writable=writable, segment_bytes=segment_bytes)
        if writable:
            log._take_lock()
        elif not folder.is_dir():
            raise UserError(f"{folder}: there is no memory here.", hint="Run the seed stage first.")
        try:
            log._read(visit)
        except OSError as fault:
            log.close()
            raise _refused(folder, fault) from fault
        except BaseException:
            log.close()
            raise
        return log

    def _read(self, visit: Visit | None) -> None:
        segments = self._segments()
        for path in segments:
            self._read_segment(path, last=path == segments[-1], visit=visit)
        if self.writable and not segments:
            self._new_segment()

    def _take_lock(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(self.folder)
        except BlockingIOError as held:
            raise UserError(
                f"{self.folder}: another writer has this memory open ({held.strerror}).",
                hint="Wait for it to end, or open the memory read-only.",
            ) from None
        except OSError as fault:
            raise _refused(self.folder, fault) from fault

    def _segments(self) -> list[Path]:
        segments = sorted(p for p in self.folder.iterdir() if _SEGMENT.fullmatch(p.name))
        for number, path in enumerate(segments, start=1):
            if path.name != segment_name(number):
                raise UserError(
                    f"{self.folder}: {segment_name(number)} is missing.",
                    hint=f"Restore it (`dvc checkout {self.folder}`) or seed a new memory.",
                )
        return segments

    def _read_segment(self, path: Path, *, last: bool, visit: Visit | None) -> None:
        flags = os.O_RDWR | os.O_APPEND if self.writable and last else os.O_RDONLY
        handle = os.open(path, flags | os.O_CLOEXEC)
        self._handles.append(handle)
        self._size = 0
        with open(handle, "rb", closefd=False) as lines:
            for number, line in enumerate(lines, start=1):
                ended = line.endswith(b"\n")
                payload = unframe(line[:-1] if ended else line)
                if payload is None and last and not ended:  # the only damage a kill can cause
                    self.torn = f"{path}, line {number}: {len(line)} bytes of a torn record"
                    break
                if payload is None or not (ended or last):
                    raise UserError(
                        f"{path}, line {number}: damaged record.",
                        hint=f"Restore it (`dvc checkout {self.folder}`) or seed a new memory.",
                    )
                if visit is not None:
                    visit(payload, path, number)
                self._note(payload)
                if not ended:
                    if self.writable:
                        os.write(handle, b"\n")  # complete but for its newline: add it
                    break  # a reader must not read on: a writer may be appending now
        if self.torn:
            logger.warning("%s %s", self.torn, "are cut off" if self.writable else "are ignored")
        if self.writable and last and os.fstat(handle).st_size > self._size:
            os.ftruncate(handle, self._size)  # or the next append would join the torn line
            os.fsync(handle)

    def _note(self, payload: bytes) -> None:
        self._segment.append(len(self._handles) - 1)
        self._offset.append(self._size + _HEAD)
        self._length.append(len(payload))
        self._size += _HEAD + len(payload) + 1  # with the newline
        self._digest.update(payload + b"\n")

    def _new_segment(self) -> None:
        path = self.folder / segment_name(len(self._handles) + 1)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._handles.append(os.open(path, flags, 0o644))
        self._size = 0
        sync_folder(self.folder)

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write records and return once they are on disk: one write and one fsync a batch.

        Raises OSError when writing fails. The batch is then cut off again, and the log takes no
        further appends.
        """
        if not self.writable or self._broken:
            raise ValueError(f"{self.folder}: not open for writing")
        if not payloads:
            return
        if self._size >= self._segment_bytes:
            self._new_segment()
        handle, before = self._handles[-1], self._size
        left = memoryview(b"".join(map(frame, payloads)))
        try:
            while left:
                left = left[os.write(handle, left) :]  # a write may be partial
            os.fsync(handle)
        except BaseException:
            self._broken = True  # after a failed fsync it is unknown what is on the disk
            os.ftruncate(handle, before)
            raise
        for payload in payloads:
            self._note(payload)

    def __len__(self) -> int:
        return len(self._offset)

    def __getitem__(self, position: int) -> bytes:
        handle = self._handles[self._segment[position]]
        return os.pread(handle, self._length[position], self._offset[position])

    def __iter__(self) -> Iterator[bytes]:
        return (self[position] for position in range(len(self)))

    def digest(self, records: int | None = None) -> str:
        """sha256 of the first ``records`` records in order (default: all).

        Independent of the folder and of segment borders. A prefix is read from disk.
        """
        if records is None or records == len(self):
            return self._digest.hexdigest()
        prefix = hashlib.sha256()
        for position in range(records):
            prefix.update(self[position] + b"\n")
        return prefix.hexdigest()

    def close(self) -> None:
        """Close the files and release the lock."""
        while self._handles:
            os.close(self._handles.pop())
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        self.writable = False

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
