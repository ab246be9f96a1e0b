"""Vectors on disk by text id: the cache of embeddings.

One append-only file for each encoder, with rows of one size: id, checksum, float32 vector. It
can be deleted at any time, but embedding is slow, so the file survives rebuilt indices, and
memories and processes share it: appends take a short lock, reads none. A row that a crash left
incomplete is cut off; one with a wrong checksum is skipped. If the disk cannot be written, new
vectors stay in RAM.
"""

import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from falcon.memory.encoder import Vectors

HEAD = 512
"""Bytes before the first row: JSON that names encoder and dimension, padded with blanks."""
ID = 16
"""Bytes of a text id."""
_CHUNK = 2048  # rows that are read at once


def _row_type(dim: int) -> np.dtype[np.void]:
    # Packed, no padding: 16 + 4 + 4 * dim bytes. V, not S: S drops trailing zero bytes of an id.
    return np.dtype([("id", f"V{ID}"), ("check", "<u4"), ("vector", "<f4", (dim,))])


def _check(row: memoryview | bytes) -> int:
    return zlib.crc32(row[ID + 4 :], zlib.crc32(row[:ID]))  # of id and vector


def file_name(encoder: str, dim: int) -> str:
    """Name of the file of an encoder's vectors."""
    return f"vectors-{hashlib.sha256(encoder.encode()).hexdigest()[:12]}-{dim}.bin"


class VectorFile:
    """Vectors of one encoder by text id (16 bytes), in ``folder``; only in RAM if it is None."""

    def __init__(self, folder: Path | None, encoder: str, dim: int) -> None:
        self.dim = dim
        self.path = folder / file_name(encoder, dim) if folder is not None else None
        head = {"encoder": hashlib.sha256(encoder.encode()).hexdigest(), "dim": dim, "of": encoder}
        self._head = json.dumps(head).encode("ascii")[: HEAD - 1].ljust(HEAD)
        self._type = _row_type(dim)
        self._rows: dict[bytes, int] = {}  # row of each text: first those mapped, then unsaved ones
        self._mapped = np.zeros((0, dim), np.float32)
        self._inode = -1  # of the mapped file; -1: none yet
        self._unsaved: list[Vectors] = []  # vectors that could not be written
        self._n_unsaved = 0
        self._read_new_rows()

    def __contains__(self, text_id: bytes) -> bool:
        return text_id in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, text_ids: Sequence[bytes]) -> Vectors:
        """Vectors of these texts: float32 [n, dim]. Raises KeyError for one that is not here."""
        rows = np.fromiter((self._rows[key] for key in text_ids), np.int64, len(text_ids))
        n = len(self._mapped)
        if not self._n_unsaved:
            return np.ascontiguousarray(self._mapped[rows])
        out = np.empty((len(rows), self.dim), np.float32)
        on_disk = rows < n
        out[on_disk] = self._mapped[rows[on_disk]]
        out[~on_disk] = np.concatenate(self._unsaved)[rows[~on_disk] - n]
        return out

    def put(self, text_ids: Sequence[bytes], vectors: Vectors) -> None:
        """Add vectors, float32 [n, dim], of texts that are not here yet; the others are ignored."""
        # Unsaved rows are numbered after the mapped ones, so from then on nothing more is mapped.
        if self.path is not None and not self._n_unsaved:
            try:
                with self._locked(self.path) as handle:
                    self._append(handle, text_ids, vectors)
                self._read_new_rows()
            except OSError:
                pass  # a full or read-only disk: no reason to stop, as vectors can be made again
        fresh = {key: i for i, key in enumerate(text_ids) if key not in self._rows}
        for number, key in enumerate(fresh, start=len(self._mapped) + self._n_unsaved):
            self._rows[key] = number
        if fresh:
            self._unsaved.append(np.asarray(vectors, np.float32)[list(fresh.values())])
            self._n_unsaved += len(fresh)

    # -- the file ----------------------------------------------------------------------

    def _read_new_rows(self) -> None:
        """Map the rows that others or this process appended; earlier rows keep their numbers."""
        if self.path is None or self._n_unsaved:
            return
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                if file.read(HEAD) != self._head:
                    return
        except OSError:
            return
        complete, mapped = (status.st_size - HEAD) // self._type.itemsize, len(self._mapped)
        if self._inode not in (-1, status.st_ino) or complete <= mapped:
            return  # a replaced file has other rows under the same numbers
        table = np.memmap(self.path, self._type, "r", HEAD, (complete,))
        for start in range(mapped, complete, _CHUNK):
            raw, step = table[start : start + _CHUNK].tobytes(), self._type.itemsize
            for number in range(len(raw) // step):
                row = raw[number * step : (number + 1) * step]
                if _check(row) == int.from_bytes(row[ID : ID + 4], "little"):
                    self._rows.setdefault(row[:ID], start + number)
        self._mapped, self._inode = table["vector"], status.st_ino

    @contextmanager
    def _locked(self, path: Path) -> Iterator[int]:
        """Open the file, created if absent, and lock it. A file of another encoder is replaced:
        removed, not truncated, because to read a mapped page that is gone kills the reader."""
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                status = os.fstat(handle)
                if status.st_nlink == 0:
                    continue  # replaced while we waited
                if status.st_size == 0:
                    os.pwrite(handle, self._head, 0)
                elif os.pread(handle, HEAD, 0) != self._head:
                    path.unlink()
                    continue
                yield handle
                return
            finally:
                os.close(handle)

    def _append(self, handle: int, text_ids: Sequence[bytes], vectors: Vectors) -> None:
        status = os.fstat(handle)
        self._read_new_rows()  # what others have added meanwhile
        if self._inode not in (-1, status.st_ino):
            return  # another file has replaced the one mapped here
        fresh = {key: i for i, key in enumerate(text_ids) if key not in self._rows}
        if not fresh:
            return
        rows = np.zeros(len(fresh), self._type)
        rows["id"] = np.frombuffer(b"".join(fresh), f"V{ID}")
        rows["vector"] = np.asarray(vectors, np.float32)[list(fresh.values())]
        raw, step = rows.tobytes(), self._type.itemsize
        rows["check"] = [_check(raw[i * step : (i + 1) * step]) for i in range(len(rows))]
        at = HEAD + max(status.st_size - HEAD, 0) // step * step  # over a row that a crash tore
        left = memoryview(rows.tobytes())
        try:
            while left:
                written = os.pwrite(handle, left, at)
                left, at = left[written:], at + written
        finally:
            os.ftruncate(handle, at)  # also cuts what is left of a longer torn row


def unit_rows(vectors: npt.ArrayLike, n: int, dim: int) -> Vectors:
    """Vectors given by a caller as float32 [n, dim] of unit length.

    Raises ValueError for another shape, rows of length 0, and values that are not finite.
    """
    rows = np.asarray(vectors, np.float32)
    if rows.shape != (n, dim):
        raise ValueError(f"vectors of shape {rows.shape}, not ({n}, {dim})")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or not norms.all():
        raise ValueError("vectors must be finite and not of length 0")
    return np.asarray(rows / norms, np.float32)
