"""What a slot remembers of suites, so that the programs of a group share it.

Values that a reference returned, and the calls that test code made of an earlier program.
Nothing that a program said is kept, and no verdict depends on what is.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any


class Store:
    """Values by key up to a total size; the oldest go first."""

    def __init__(self, most: int) -> None:
        self.most, self.size = most, 0
        self._kept: dict[Hashable, tuple[Any, int]] = {}

    def get(self, key: Hashable) -> Any:
        """What is kept under ``key``, or None."""
        found = self._kept.get(key)
        return found and found[0]

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Keep ``value`` of ``size`` in place of what there was."""
        self._drop(key)
        self._kept[key] = value, size
        self.size += size
        while self.size > self.most:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Hashable) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self.size -= found[1]


class Known:
    """``expected``: what references returned, for 256 suites; ``asked``: calls that tests made,
    16 MiB of them."""

    def __init__(self) -> None:
        self.expected = Store(256)
        self.asked = Store(1 << 24)
