"""Retention: which experiences to keep when a memory must not grow without bound.

By count and by value. Within a problem the most valuable is its best program that passes,
then the newest failure of each type of error, then the other passes by score, then the other
failures from the newest. Problems take turns, so that none is forgotten for another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from falcon.memory.record import Summary


def _by_value(numbers: Sequence[int], records: Sequence[Summary]) -> list[int]:
    """The experiences of one problem, the most valuable first."""
    newest_first = sorted(numbers, reverse=True)
    passes = sorted((n for n in newest_first if records[n].passed), key=lambda n: -records[n].score)
    seen: set[str] = set()
    telling: list[int] = []
    repeated: list[int] = []
    for number in newest_first:
        if records[number].passed:
            continue
        kind = records[number].error_type
        (repeated if kind in seen else telling).append(number)
        seen.add(kind)
    return [*passes[:1], *telling, *passes[1:], *repeated]


def most_valuable(records: Sequence[Summary], keep: int) -> set[int]:
    """Positions of at most ``keep`` experiences to keep (0: all); pruned records are none."""
    by_problem: defaultdict[str, list[int]] = defaultdict(list)
    for number, record in enumerate(records):
        if not record.pruned:
            by_problem[record.problem_id].append(number)
    turns = sorted(
        (turn, -number)
        for numbers in by_problem.values()
        for turn, number in enumerate(_by_value(numbers, records))
    )
    return {-number for _, number in (turns[:keep] if keep else turns)}
