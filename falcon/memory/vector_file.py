"""Vectors on disk by text id: the cache of embeddings.

One file for each encoder, append-only, rows of one size: id, checksum, float32 vector. It is
derived (delete it freely), but embedding is what costs, so it outlives rebuilt indices, and
several memories and processes share it: appends take a short lock, reads none. A row that a
crash tore is cut off, one that is damaged is skipped by its checksum. Where the disk takes no
writes new vectors stay in RAM.
"""

from __future__ import annotations

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
_CHUNK = 2048


def _row_type(dim: int) -> np.dtype[np.void]:
    return np.dtype([("id", f"V{ID}"), ("check", "<u4"), ("vector", "<f4", (dim,))])


def _check(row: memoryview | bytes) -> int:
    return zlib.crc32(row[ID + 4 :], zlib.crc32(row[:ID]))


def file_name(encoder: str, dim: int) -> str:
    """Name of the file of an encoder's vectors."""
    return f"vectors-{hashlib.sha256(encoder.encode()).hexdigest()[:12]}-{dim}.bin"


class VectorFile:
    """Vectors of one encoder by text id (16 bytes), in ``folder``; in RAM alone where that is None."""

    def __init__(self, folder: Path | None, encoder: str, dim: int) -> None:
        self.dim = dim
        self.path = folder / file_name(encoder, dim) if folder is not None else None
        head = {"encoder": hashlib.sha256(encoder.encode()).hexdigest(), "dim": dim, "of": encoder}
        self._head = json.dumps(head).encode("ascii")[: HEAD - 1].ljust(HEAD)
        self._type = _row_type(dim)
        self._rows: dict[bytes, int] = {}
        self._mapped = np.zeros((0, dim), np.float32)
        self._inode = -1
        self._loose: list[Vectors] = []  # what the disk did not take, numbered after the mapped
        self._n_loose = 0
        self._look()

    def __contains__(self, text_id: bytes) -> bool:
        return text_id in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, text_ids: Sequence[bytes]) -> Vectors:
        """Vectors of texts that are here: float32 [n, dim]. Raises KeyError for others."""
        rows = np.fromiter((self._rows[key] for key in text_ids), np.int64, len(text_ids))
        n = len(self._mapped)
        if not self._n_loose:
            return np.ascontiguousarray(self._mapped[rows])
        out = np.empty((len(rows), self.dim), np.float32)
        on_disk = rows < n
        out[on_disk] = self._mapped[rows[on_disk]]
        out[~on_disk] = np.concatenate(self._loose)[rows[~on_disk] - n]
        return out

    def put(self, text_ids: Sequence[bytes], vectors: Vectors) -> None:
        """Add vectors, float32 [n, dim], of texts that are not here yet; others are left alone."""
        if self.path is not None and not self._n_loose:
            try:
                with self._locked(self.path) as handle:
                    self._append(handle, text_ids, vectors)
                self._look()
            except OSError:
                pass  # a full or read-only disk: derived data is no reason to stop
        fresh = {key: i for i, key in enumerate(text_ids) if key not in self._rows}
        for number, key in enumerate(fresh, start=len(self._mapped) + self._n_loose):
            self._rows[key] = number
        if fresh:
            self._loose.append(np.asarray(vectors, np.float32)[list(fresh.values())])
            self._n_loose += len(fresh)

    # -- the file ----------------------------------------------------------------------

    def _look(self) -> None:
        """Take in rows that are on the disk and not known here; those known stay where they are."""
        if self.path is None or self._n_loose:
            return
        try:
            with self.path.open("rb") as file:
                found = os.fstat(file.fileno())
                if file.read(HEAD) != self._head:
                    return
        except OSError:
            return
        whole, known = (found.st_size - HEAD) // self._type.itemsize, len(self._mapped)
        if self._inode not in (-1, found.st_ino) or whole <= known:
            return
        table = np.memmap(self.path, self._type, "r", HEAD, (whole,))
        for start in range(known, whole, _CHUNK):
            raw, step = table[start : start + _CHUNK].tobytes(), self._type.itemsize
            for number in range(len(raw) // step):
                row = raw[number * step : (number + 1) * step]
                if _check(row) == int.from_bytes(row[ID : ID + 4], "little"):
                    self._rows.setdefault(row[:ID], start + number)
        self._mapped, self._inode = table["vector"], found.st_ino

    @contextmanager
    def _locked(self, path: Path) -> Iterator[int]:
        """The file, made if need be, for this process alone. A file that is not ours is replaced:
        removed, not emptied, because others may have it mapped."""
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                found = os.fstat(handle)
                if found.st_nlink == 0:
                    continue  # replaced while we waited
                if found.st_size == 0:
                    os.pwrite(handle, self._head, 0)
                elif os.pread(handle, HEAD, 0) != self._head:
                    path.unlink()
                    continue
                yield handle
                return
            finally:
                os.close(handle)

    def _append(self, handle: int, text_ids: Sequence[bytes], vectors: Vectors) -> None:
        found = os.fstat(handle)
        self._look()  # what others have added meanwhile
        if self._inode not in (-1, found.st_ino):
            return  # another file took the place of the one mapped here
        fresh = {key: i for i, key in enumerate(text_ids) if key not in self._rows}
        if not fresh:
            return
        rows = np.zeros(len(fresh), self._type)
        rows["id"] = np.frombuffer(b"".join(fresh), f"V{ID}")
        rows["vector"] = np.asarray(vectors, np.float32)[list(fresh.values())]
        raw, step = rows.tobytes(), self._type.itemsize
        checks = [_check(raw[i * step : (i + 1) * step]) for i in range(len(rows))]
        rows["check"] = checks
        at = HEAD + max(found.st_size - HEAD, 0) // step * step
        left = memoryview(rows.tobytes())
        try:
            while left:
                written = os.pwrite(handle, left, at)
                left, at = left[written:], at + written
        finally:
            os.ftruncate(handle, at)


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
