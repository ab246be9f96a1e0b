"""Moving mean: what the last values of a figure come to, beside the last one itself.

Single steps of a training have other tasks and jump; their mean shows whether there is a trend.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

WINDOW = 10
"""Steps of which the mean is shown."""


@dataclass(frozen=True)
class Recent:
    """The last value, and the mean of the last ``count`` (that many were finite)."""

    last: float
    mean: float
    count: int

    def __str__(self) -> str:
        return f"{self.last:.2f} (mean of {self.count}: {self.mean:.2f})"


class MovingMean:
    """The mean of the last ``window`` values; those that are not finite are left out of it.

    ``values`` come before the first :meth:`add`, as those of the steps before an interruption.
    """

    def __init__(self, values: Iterable[float] = (), window: int = WINDOW) -> None:
        self._values: deque[float] = deque(values, maxlen=window)

    def add(self, value: float) -> Recent:
        """Take one more value."""
        self._values.append(value)
        finite = [each for each in self._values if math.isfinite(each)]
        mean = sum(finite) / len(finite) if finite else math.nan
        return Recent(value, mean, len(finite))
