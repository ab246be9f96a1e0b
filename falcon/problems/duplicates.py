"""Duplicates: the same problem twice in one set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from falcon.problems.canonical import code_shape, statement_words
from falcon.problems.problem import Problem


def _keys(problem: Problem) -> Iterator[tuple[str, str]]:
    yield "id", problem.id
    text = " ".join(statement_words(problem.statement))
    # A statement of signs and numbers only has no words to be told by.
    yield "statement", text or problem.statement
    for solution in problem.solutions:
        if shape := code_shape(solution):
            yield "reference", shape


def find_duplicates(problems: Sequence[Problem]) -> list[tuple[str, str]]:
    """Pairs (earlier id, later id) with the same id, statement or reference.

    Statements are compared by their words; references by syntax, names of their own left
    out. Each later problem is paired once with each earlier one it repeats first.
    """
    first: dict[tuple[str, str], int] = {}
    pairs: dict[tuple[int, int], None] = {}
    for position, problem in enumerate(problems):
        for key in _keys(problem):
            earlier = first.setdefault(key, position)
            if earlier != position:
                pairs[earlier, position] = None
    return [(problems[a].id, problems[b].id) for a, b in pairs]
