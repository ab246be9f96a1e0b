"""Store: what a process keeps of the suites it has seen, up to a size."""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

_Value = TypeVar("_Value")
_EACH = 1000  # bytes of an entry beside its texts, so that empty ones count, too


def size_of(parts: Iterable[str | bytes]) -> int:
    """About the bytes that an entry with these texts takes."""
    return _EACH + sum(map(len, parts))


class Store(Generic[_Value]):
    """Values by key up to a total size; the oldest go first, the last one stays in any case."""

    def __init__(self, most: int) -> None:
        self.most, self.size = most, 0
        self._kept: dict[Hashable, tuple[_Value, int]] = {}

    def get(self, key: Hashable) -> _Value | None:
        """What is kept under ``key``."""
        return self._kept.get(key, (None, 0))[0]

    def put(self, key: Hashable, value: _Value, size: int) -> None:
        """Keep ``value`` of ``size``, key included, in place of what there was."""
        self._drop(key)
        self._kept[key] = value, size
        self.size += size
        while self.size > self.most and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))  # dicts keep the order of insertion

    def _drop(self, key: Hashable) -> None:
        self.size -= self._kept.pop(key, (None, 0))[1]
