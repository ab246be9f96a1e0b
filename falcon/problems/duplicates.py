"""Duplicates: the same problem twice in one set."""

from collections.abc import Iterator, Sequence

from falcon.problems.canonical import code_shape, statement_words
from falcon.problems.problem import Problem


def _keys(problem: Problem) -> Iterator[tuple[str, str]]:
    yield "id", problem.id
    text = " ".join(statement_words(problem.statement))
    # A statement of signs and numbers has no words: it is compared as it is.
    yield "statement", text or problem.statement
    for solution in problem.solutions:
        if shape := code_shape(solution):
            yield "reference", shape


def find_duplicates(problems: Sequence[Problem]) -> list[tuple[str, str]]:
    """Pairs (earlier id, later id) with the same id, statement or reference.

    Statements are compared by their words, references by syntax with their own names left out.
    A later problem is paired with the first that has its id, its statement or a reference.
    """
    first: dict[tuple[str, str], int] = {}
    pairs: dict[tuple[int, int], None] = {}  # a set that keeps its order
    for position, problem in enumerate(problems):
        for key in _keys(problem):
            earlier = first.setdefault(key, position)
            if earlier != position:
                pairs[earlier, position] = None
    return [(problems[a].id, problems[b].id) for a, b in pairs]
