"""What a slot remembers of suites, so that the programs of a group share it.

Values that a reference returned, and the calls that test code made of an earlier program. No
verdict depends on what is kept, and nothing that a program returned is.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Store(Generic[_Value]):
    """Values by key up to a total size; the oldest go first."""

    def __init__(self, most: int) -> None:
        self.most, self.size = most, 0
        self._kept: dict[Hashable, tuple[_Value, int]] = {}

    def get(self, key: Hashable) -> _Value | None:
        """What is kept under ``key``."""
        entry = self._kept.get(key)
        return entry[0] if entry else None

    def put(self, key: Hashable, value: _Value, size: int) -> None:
        """Keep ``value`` of ``size`` in place of what there was."""
        self._drop(key)
        self._kept[key] = value, size
        self.size += size
        while self.size > self.most:
            self._drop(next(iter(self._kept)))  # dicts keep the order of insertion

    def _drop(self, key: Hashable) -> None:
        entry = self._kept.pop(key, None)
        if entry is not None:
            self.size -= entry[1]


class SuiteCache:
    """``expected``: what references returned, for 256 suites. ``calls``: requests that test code
    made, 16 MiB of them, and how often in a row a program got other ones."""

    def __init__(self) -> None:
        self.expected: Store[list[object]] = Store(256)
        self.calls: Store[tuple[list[bytes], int]] = Store(1 << 24)
