"""Catalog: what a memory knows of its experiences without reading them again.

Built while the log is read. Experiences are numbered from 0 in the order of the log, and so
are the distinct texts they are indexed by; some 300 bytes an experience, so that a million
fit a small machine. It holds no vectors and no programs.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from falcon.memory.record import Summary


class Catalog:
    """Numbers of experiences by key, by text and by problem."""

    def __init__(self) -> None:
        self.keys: set[bytes] = set()
        """Of all records, pruned ones too."""
        self.records = array("Q")
        """Which record of the log an experience is."""
        self.scores = array("d")
        self.passed = bytearray()
        self.text_ids: list[bytes] = []
        """Ids of the distinct texts by number."""
        self.first = array("Q")
        """The first experience of each text."""
        self._last = array("Q")
        self._next = array("Q")  # the next experience of the same text, 0 for none
        self._text_of = array("Q")
        self._numbers: dict[bytes, int] = {}
        self._by_problem: defaultdict[str, array[int]] = defaultdict(lambda: array("Q"))
        self._n_records = 0

    def __len__(self) -> int:
        return len(self.records)

    def add(self, record: Summary) -> None:
        """Note the next record of the log."""
        self.keys.add(record.key)
        position, self._n_records = self._n_records, self._n_records + 1
        if record.pruned:
            return
        number = len(self.records)
        self.records.append(position)
        self.scores.append(record.score)
        self.passed.append(record.passed)
        self._by_problem[record.problem_id].append(number)
        self._next.append(0)
        text = self._numbers.setdefault(record.text_id, len(self.text_ids))
        if text == len(self.text_ids):
            self.text_ids.append(record.text_id)
            self.first.append(number)
            self._last.append(number)
        else:
            self._next[self._last[text]] = number
            self._last[text] = number
        self._text_of.append(text)

    def problems(self) -> list[str]:
        """Ids of the problems in the order they first occurred."""
        return list(self._by_problem)

    def of_problem(self, problem_id: str) -> Sequence[int]:
        """The experiences of a problem, oldest first."""
        return self._by_problem.get(problem_id, ())

    def passed_of(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether the programs of these experiences passed."""
        return np.frombuffer(self.passed, dtype=np.bool_)[numbers]

    def of_text(self, text: int) -> Iterator[int]:
        """The experiences that are indexed by a text, oldest first."""
        number = self.first[text]
        yield number
        while number := self._next[number]:
            yield number

    def text_of(self, number: int) -> int:
        """The text an experience is indexed by."""
        return self._text_of[number]

    def text_number(self, text_id: bytes) -> int | None:
        """Number of a text, or None where no experience has it."""
        return self._numbers.get(text_id)
