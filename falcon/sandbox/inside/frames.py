"""Length-prefixed frames over a stream socket, blocking (for the ends that only wait)."""

from __future__ import annotations

import os
import struct

_HEAD = struct.Struct("!I")


class Closed(Exception):
    """The other end is gone."""


def pack(payload: bytes) -> bytes:
    """One frame."""
    return _HEAD.pack(len(payload)) + payload


def write(fd: int, payload: bytes) -> None:
    """Write one frame. Raises OSError."""
    data = memoryview(pack(payload))
    while data:
        data = data[os.write(fd, data) :]


class Inbox:
    """Frames read ahead from ``fd``: many for one system call."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._data, self._at = b"", 0

    def read(self) -> bytes:
        """The next frame. Raises Closed at the end of the stream."""
        while True:
            start = self._at + _HEAD.size
            if len(self._data) >= start:
                end = start + int.from_bytes(self._data[self._at : start], "big")
                if len(self._data) >= end:
                    self._at = end
                    return self._data[start:end]
            part = os.read(self._fd, 1 << 16)
            if not part:
                raise Closed
            self._data, self._at = self._data[self._at :] + part, 0


def _exactly(fd: int, size: int) -> bytes:
    parts = []
    while size:
        part = os.read(fd, min(size, 1 << 16))
        if not part:
            raise Closed
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read(fd: int) -> bytes:
    """Read one frame. Raises Closed at the end of the stream."""
    return _exactly(fd, _HEAD.unpack(_exactly(fd, _HEAD.size))[0])
