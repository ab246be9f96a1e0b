"""Frames: payloads over a stream socket, each with its length in four bytes before it."""

import os

HEAD = 4  # bytes before a payload


class Closed(Exception):
    """The other end is gone."""


class BadFrame(Exception):
    """A length that no frame can have here."""


def pack(payload: bytes) -> bytes:
    """One frame."""
    return len(payload).to_bytes(HEAD, "big") + payload


def write(fd: int, payload: bytes) -> None:
    """Write one frame to a blocking ``fd``. Raises OSError."""
    data = memoryview(pack(payload))
    while data:
        data = data[os.write(fd, data) :]


def take(buffer: bytearray, smallest: int = 0, largest: int = 1 << 32) -> bytes | None:
    """Remove the first payload from ``buffer``; None while it is incomplete. Raises BadFrame."""
    if len(buffer) < HEAD:
        return None
    size = int.from_bytes(buffer[:HEAD], "big")
    if not smallest <= size <= largest:
        raise BadFrame
    end = HEAD + size
    if len(buffer) < end:
        return None
    payload = bytes(buffer[HEAD:end])
    del buffer[:end]
    return payload


class Inbox:
    """Frames that are read ahead from a blocking ``fd``: many for one system call."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._data, self._at = b"", 0

    def read(self) -> bytes:
        """The next payload. Raises Closed at the end of the stream."""
        while True:
            start, missing = self._at + HEAD, 1
            if len(self._data) >= start:
                end = start + int.from_bytes(self._data[self._at : start], "big")
                missing = end - len(self._data)
                if missing <= 0:
                    self._at = end
                    return self._data[start:end]
            # Joined once: adding each part to the rest would copy a large frame many times.
            parts = [self._data[self._at :]]
            while missing > 0:
                part = os.read(self._fd, 1 << 16)
                if not part:
                    raise Closed
                parts.append(part)
                missing -= len(part)
            self._data, self._at = b"".join(parts), 0
