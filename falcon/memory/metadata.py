"""Metadata: what a memory keeps in RAM about its experiences.

Built while the log is read. Experiences are numbered from 0 in the order of the log, and so are
the distinct texts that they are indexed by. About 300 bytes an experience, so that a million
fit a small machine; vectors and programs are not here.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from falcon.memory.record import Summary


class _Chains:
    """Experiences in groups, each in the order of the log.

    A linked list a group in flat arrays: a Python list a group would be a million objects for
    the garbage collector to scan.
    """

    def __init__(self) -> None:
        self.first = array("Q")
        """The first experience of each group."""
        self._last = array("Q")
        self._next = array("Q")  # next experience of the group; 0: none, as 0 is always a first

    def add(self, number: int, group: int) -> None:
        """Add experience ``number`` to an existing group or to a new one, the next by number."""
        self._next.append(0)
        if group == len(self.first):
            self.first.append(number)
            self._last.append(number)
        else:
            self._next[self._last[group]] = number
            self._last[group] = number

    def of(self, group: int) -> Iterator[int]:
        """The experiences of a group, oldest first."""
        number = self.first[group]
        yield number
        while number := self._next[number]:
            yield number


class Metadata:
    """Numbers of experiences by key, by text and by problem."""

    def __init__(self) -> None:
        self.keys: set[bytes] = set()
        """Keys of all records, pruned ones too."""
        self.records = array("Q")
        """The position in the log of each experience; pruned records are no experiences."""
        self.scores = array("d")
        self.passed = bytearray()
        self.text_ids: list[bytes] = []
        """Ids of the distinct texts by number."""
        self._text_of = array("Q")
        self._numbers: dict[bytes, int] = {}
        self._by_text = _Chains()
        self._problems: dict[str, int] = {}
        self._by_problem = _Chains()
        self._n_records = 0

    def __len__(self) -> int:
        return len(self.records)

    def add(self, record: Summary) -> None:
        """Add the next record of the log."""
        self.keys.add(record.key)
        position, self._n_records = self._n_records, self._n_records + 1
        if record.pruned:
            return  # its key still counts, so that the program is not stored again
        number = len(self.records)
        self.records.append(position)
        self.scores.append(record.score)
        self.passed.append(record.passed)
        problem = self._problems.setdefault(record.problem_id, len(self._problems))
        self._by_problem.add(number, problem)
        text = self._numbers.setdefault(record.text_id, len(self.text_ids))
        if text == len(self.text_ids):
            self.text_ids.append(record.text_id)
        self._by_text.add(number, text)
        self._text_of.append(text)

    @property
    def first(self) -> array[int]:
        """The first experience of each text."""
        return self._by_text.first

    def problems(self) -> list[str]:
        """Ids of the problems in the order they first occurred."""
        return list(self._problems)

    def of_problem(self, problem_id: str) -> list[int]:
        """The experiences of a problem, oldest first."""
        problem = self._problems.get(problem_id)
        return [] if problem is None else list(self._by_problem.of(problem))

    def passed_of(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether the programs of these experiences passed."""
        return np.frombuffer(self.passed, dtype=np.bool_)[numbers]

    def of_text(self, text: int) -> Iterator[int]:
        """The experiences that are indexed by a text, oldest first."""
        return self._by_text.of(text)

    def text_of(self, number: int) -> int:
        """The text an experience is indexed by."""
        return self._text_of[number]

    def text_number(self, text_id: bytes) -> int | None:
        """Number of a text, or None where no experience has it."""
        return self._numbers.get(text_id)
