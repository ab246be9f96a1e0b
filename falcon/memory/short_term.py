"""Short-term memory: the latest programs and their feedback, M_short of the paper.

First in, first out up to ``cap``, grouped by problem, in RAM; its state is plain JSON data and
part of the checkpoints of training. Unlike long-term memory it keeps repetitions: N_error of
eq. 9 counts samples.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from falcon.memory.experience import Experience


class ShortTermMemory:
    """The last ``cap`` experiences. Raises ValueError for a cap below 1."""

    def __init__(self, cap: int) -> None:
        if cap < 1:
            raise ValueError(f"cap must be at least 1, not {cap}")
        self.cap = cap
        self._all: deque[Experience] = deque()
        self._groups: dict[str, deque[Experience]] = {}

    def record(self, experiences: Iterable[Experience]) -> None:
        """Add experiences in order; beyond the cap the oldest are dropped."""
        for experience in experiences:
            self._all.append(experience)
            self._groups.setdefault(experience.problem_id, deque()).append(experience)
            if len(self._all) > self.cap:
                oldest = self._all.popleft().problem_id
                self._groups[oldest].popleft()  # the oldest of all is the oldest of its group
                if not self._groups[oldest]:
                    del self._groups[oldest]  # `problems` lists groups that have entries

    def group(self, problem_id: str) -> list[Experience]:
        """The experiences of a problem, oldest first."""
        return list(self._groups.get(problem_id, ()))

    def problems(self) -> list[str]:
        """Ids of the problems in memory, sorted."""
        return sorted(self._groups)

    def error_counts(self, problem_id: str) -> dict[str, int]:
        """N_error of eq. 9 as raw counts: samples of the problem that ended in each type.

        Types that did not occur are absent.
        """
        group = self._groups.get(problem_id, ())
        counts = Counter(e.feedback.error_type for e in group if e.feedback.error_type)
        return dict(sorted(counts.items()))

    def draw(self, rng: np.random.Generator, n: int, problem_id: str | None = None) -> list[int]:
        """Positions of up to ``n`` different entries, uniformly, of one problem or of all.

        Positions count back from the newest, -1, so that a caller can use them on its own list of
        what it recorded, although this memory drops old entries. They depend only on the
        generator and the number of entries.
        """
        size = len(self._all if problem_id is None else self._groups.get(problem_id, ()))
        if not size or n < 1:
            return []
        return [int(i) - size for i in rng.choice(size, size=min(n, size), replace=False)]

    def clear(self) -> None:
        """Forget everything."""
        self._all.clear()
        self._groups.clear()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Experience]:
        return iter(self._all)

    def state_dict(self) -> dict[str, Any]:
        """The contents as plain JSON data, oldest first."""
        return {"experiences": [experience.model_dump(mode="json") for experience in self._all]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the contents by those of :meth:`state_dict`; this memory's cap holds.

        Raises pydantic.ValidationError for a malformed state and leaves the memory as it was.
        """
        loaded = [Experience.model_validate(tree) for tree in state["experiences"]]
        self.clear()
        self.record(loaded)
