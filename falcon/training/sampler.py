"""Sampling of tasks from the task distribution: line "Sample batch {T_i}" of Algorithm 1.

Uniform without replacement within an epoch, each epoch's order drawn from the seed. The
state is one number, so a resumed run goes on exactly where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from falcon.problems.problem import Problem


class UniformSampler:
    """Endless batches of problems; every problem once an epoch."""

    def __init__(self, problems: Sequence[Problem], seed: int) -> None:
        if not problems:
            raise ValueError("no problems to sample from")
        self._problems = sorted(problems, key=lambda p: p.id)
        self._seed = seed
        self.position = 0

    def _at(self, position: int) -> Problem:
        epoch, index = divmod(position, len(self._problems))
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._problems))
        return self._problems[int(order[index])]

    def next(self, count: int) -> list[Problem]:
        """The next ``count`` different problems (fewer only when there are fewer)."""
        batch: list[Problem] = []
        while len(batch) < min(count, len(self._problems)):
            problem = self._at(self.position)
            self.position += 1
            if all(problem.id != other.id for other in batch):
                batch.append(problem)
        return batch
