"""Error statistics of a memory: which errors there were, where, and P_error of eq. 9.

It counts every experience in the order of the log, pruned ones too, each in O(1). It is not
stored: opening the log counts again. With a forgetting factor below 1 an error weighs
factor^age in P_error, where age is the number of later experiences; counts do not decay.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

_GREATEST = 1e200
"""All weights are scaled back when a new one exceeds this, long before a float overflows."""


class ErrorCount(NamedTuple):
    """How often a type of error occurred, and on which lines (0: unknown line)."""

    total: int
    lines: dict[int, int]


class ErrorStatistics:
    """Counts by type, line and problem. Raises ValueError for settings out of range."""

    def __init__(
        self, types: Sequence[str], *, smoothing: float = 1.0, forgetting: float = 1.0
    ) -> None:
        if smoothing <= 0 or not 0 < forgetting <= 1:
            raise ValueError(f"smoothing {smoothing} or forgetting {forgetting} is out of range")
        self._smoothing, self._forgetting = smoothing, forgetting
        self._lines: dict[str, Counter[int]] = {name: Counter() for name in types}
        self._by_problem: defaultdict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
        self._programs: Counter[str] = Counter()
        self._weights: dict[str, float] = dict.fromkeys(types, 0.0)
        # Weight of an error now. Instead of decaying all weights at each step, this one grows by
        # 1 / factor: the ratios, which are all that P_error uses, are the same, in O(1).
        self._weight = 1.0

    def __contains__(self, error_type: str) -> bool:
        return error_type in self._lines

    def add(self, problem_id: str, error_type: str, error_line: int) -> None:
        """Count one experience; ``error_type`` "": it passed. Raises KeyError for unknown types."""
        self._programs[problem_id] += 1
        self._weight /= self._forgetting
        if self._weight > _GREATEST:
            self._weights = {name: w / self._weight for name, w in self._weights.items()}
            self._weight = 1.0
        if error_type:
            self._lines[error_type][error_line] += 1
            self._by_problem[problem_id][error_type, error_line] += 1
            self._weights[error_type] += self._weight

    def counts(self, problem_id: str | None = None) -> dict[str, int]:
        """Experiences that ended in each error type, every type present; of one problem or all."""
        if problem_id is None:
            return {name: lines.total() for name, lines in self._lines.items()}
        counts = dict.fromkeys(self._lines, 0)
        for (name, _), n in self._by_problem.get(problem_id, Counter()).items():  # no new key
            counts[name] += n
        return counts

    def successes(self, problem_id: str) -> tuple[int, int]:
        """Programs of a problem that passed, and all of them."""
        failed = self._by_problem.get(problem_id, Counter[tuple[str, int]]()).total()
        return self._programs[problem_id] - failed, self._programs[problem_id]

    def located(self, problem_id: str | None = None) -> dict[str, ErrorCount]:
        """Counts with their lines, of the types that occurred; of one problem or all."""
        if problem_id is None:
            lines = {name: dict(of) for name, of in self._lines.items() if of}
        else:
            lines = {}
            for (name, line), n in self._by_problem.get(problem_id, Counter()).items():
                lines.setdefault(name, {})[line] = n
        return {
            name: ErrorCount(sum(of.values()), dict(sorted(of.items())))
            for name, of in sorted(lines.items())
        }

    def share(self) -> dict[str, float]:
        """P_error of eq. 9: (weight + smoothing) / (all weights + smoothing * types); sums to 1."""
        now = {name: weight / self._weight for name, weight in self._weights.items()}
        total = sum(now.values()) + self._smoothing * len(now)
        return {name: (weight + self._smoothing) / total for name, weight in now.items()}
