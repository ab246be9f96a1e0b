"""Retention: which experiences to keep when the size of a memory is bounded.

Within a problem the best passing program is the most valuable, then the newest failure of each
error type, then the other passes by score, then the other failures from the newest. Problems
take turns, so that no problem loses its experiences to another. Programs that attacked what
judges them are kept where there is room for all others.
"""

from collections import defaultdict
from collections.abc import Sequence

from falcon.memory.record import Summary


def _by_value(numbers: Sequence[int], records: Sequence[Summary]) -> list[int]:
    """The experiences of one problem, the most valuable first."""
    newest_first = sorted(numbers, reverse=True)
    passes = sorted((n for n in newest_first if records[n].passed), key=lambda n: -records[n].score)
    error_types: set[str] = set()
    newest_of_type: list[int] = []
    repeated: list[int] = []
    for number in newest_first:
        if records[number].passed:
            continue
        kind = records[number].error_type
        (repeated if kind in error_types else newest_of_type).append(number)
        error_types.add(kind)
    return [*passes[:1], *newest_of_type, *passes[1:], *repeated]


def most_valuable(records: Sequence[Summary], keep: int) -> set[int]:
    """Positions of at most ``keep`` experiences to keep (0: all); pruned ones do not count."""
    by_problem: defaultdict[tuple[bool, str], list[int]] = defaultdict(list)
    for number, record in enumerate(records):
        if not record.pruned:
            by_problem[record.tampered, record.problem_id].append(number)
    turns = sorted(  # the most valuable of every problem first; in a turn, the newest
        (tampered, turn, -number)
        for (tampered, _), numbers in by_problem.items()
        for turn, number in enumerate(_by_value(numbers, records))
    )
    return {-number for _, _, number in (turns[:keep] if keep else turns)}
