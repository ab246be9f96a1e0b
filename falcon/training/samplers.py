"""Sampling of tasks from the task distribution: line "Sample batch {T_i}" of Algorithm 1.

``uniform`` (every problem once an epoch), ``difficulty`` (a curriculum: harder ones join as
training goes on) and ``success`` (the more often the less certain the outcome). Random numbers
come from the seed and a position. So the position is all the state of a sampler, and a resumed
run goes on exactly where it stopped.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from falcon.config import Settings
from falcon.memory import LongTermMemory
from falcon.problems.problem import Difficulty, Problem

Successes = Callable[[str], tuple[int, int]]
"""How many programs for a problem passed, and how many there were, by its id."""


class Sampler(Protocol):
    """Endless batches of different problems."""

    position: int
    """Where it stands; set it to go on from there."""

    def next(self, count: int) -> list[Problem]:
        """The next ``count`` different problems (fewer only when there are fewer)."""
        ...


def _ordered(problems: Sequence[Problem]) -> list[Problem]:
    if not problems:
        raise ValueError("no problems to sample from")
    return sorted(problems, key=lambda p: p.id)


def _drawn(
    pool: Sequence[Problem], count: int, seed: list[int], weights: np.ndarray | None = None
) -> list[Problem]:
    chances = None if weights is None else weights / weights.sum()
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(pool), size=min(count, len(pool)), replace=False, p=chances)
    return [pool[int(i)] for i in chosen]


class UniformSampler:
    """Every problem once an epoch, in an order drawn anew for each. ``position`` counts draws."""

    def __init__(self, problems: Sequence[Problem], seed: int) -> None:
        self._problems = _ordered(problems)
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
            # Where an epoch ends inside the batch, the next may begin with a problem of the last.
            if all(problem.id != other.id for other in batch):
                batch.append(problem)
        return batch


class DifficultySampler:
    """A curriculum over ``batches``: the easiest problems first, the next difficulty joins after
    an equal part of the batches, so the last part has all problems. ``position`` counts batches."""

    def __init__(self, problems: Sequence[Problem], seed: int, batches: int) -> None:
        self._seed = seed
        self._batches = batches
        levels = list(Difficulty)
        ranks = {p.id: levels.index(p.difficulty) for p in _ordered(problems)}
        self._pools = [
            [p for p in _ordered(problems) if ranks[p.id] <= rank]
            for rank in sorted(set(ranks.values()))
        ]
        self.position = 0

    def next(self, count: int) -> list[Problem]:
        """The next ``count`` different problems (fewer only when the pool holds fewer)."""
        part = self.position * len(self._pools) // max(1, self._batches)
        pool = self._pools[min(part, len(self._pools) - 1)]
        self.position += 1
        return _drawn(pool, count, [self._seed, self.position - 1])


class SuccessSampler:
    """Problems by p(1 - p), where p = (passed + 1) / (all + 2) of the programs in memory.

    A group of samples teaches most where some pass and some do not. By the added 1 and 2, a
    problem that was always or never solved comes seldom, not never. ``position`` counts batches.
    """

    def __init__(self, problems: Sequence[Problem], seed: int, successes: Successes) -> None:
        self._problems = _ordered(problems)
        self._seed = seed
        self._successes = successes
        self.position = 0

    def next(self, count: int) -> list[Problem]:
        """The next ``count`` different problems (fewer only when there are fewer)."""
        counts = np.array([self._successes(p.id) for p in self._problems], dtype=float)
        rate = (counts[:, 0] + 1) / (counts[:, 1] + 2)
        weights = rate * (1 - rate)
        self.position += 1
        return _drawn(self._problems, count, [self._seed, self.position - 1], weights)


def make_sampler(
    settings: Settings, problems: Sequence[Problem], memory: LongTermMemory
) -> Sampler:
    """The sampler of ``train.sampler``. Raises ValueError without problems."""
    match settings.train.sampler:
        case "difficulty":
            return DifficultySampler(problems, settings.seed, settings.train.steps)
        case "success":
            return SuccessSampler(problems, settings.seed, memory.successes)
        case _:
            return UniformSampler(problems, settings.seed)
