"""Leaks: a training problem that gives a held-out one away. Duplicates: one twice in one set.

Two signs of a leak: a run of words that two statements or two solutions share (never across the
two), and statements whose embeddings are near. The first takes time in proportion to the text,
the second to the product of the counts.
"""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from falcon.problems.canonical import code_text, problem_forms, statement_words, words
from falcon.problems.problem import Problem

if TYPE_CHECKING:
    import numpy as np

    Vectors = np.ndarray[Any, np.dtype[Any]]

BOILERPLATE = 5  # a run of words in more held-out problems is common wording, not one problem's
_BLOCK = 1024  # training statements embedded at a time: bounds the matrix of cosines
_MIN_WORDS = 4  # shorter statements and solutions are equal by chance ("add two numbers")
_MIN_SPECIFIC = 3  # words of a run that must be specific to a task
_CODE_WORDS = frozenset(word.lower() for word in (*keyword.kwlist, *dir(builtins)))
_TASK_WORDS = """
a about after all also an and any are as at be been before being between both but by can
check contain containing contains do does each either else empty every exactly example
examples find first float follow following follows for from function give given gives has
have hold holds how if in input integer integers into is it its itself last least length
line lines list lists many may more most must neither next no non none not number numbers
numeric of on one only or other otherwise output per positive print printed printing prints
program python read reads return returned returns same second separated should single so
space spaces standard stdin stdout string strings such take takes text than that the their
them then there these they third this those three to two up use using value values was were
what when where whether which who whole will with without word words write zero
"""
_COMMON_WORDS = frozenset(_TASK_WORDS.split())
"""Words that most tasks share: articles, and how input and output are described."""

Encode = Callable[[Sequence[str]], "Vectors"]  # Texts to vectors [texts, dim]


@dataclass(frozen=True, slots=True)
class Leak:
    """One training problem that is too near to one held-out problem.

    ``evidence`` is the shared run of words, or the cosine in words; ``place`` is where the run
    is ("statement", "solution", or one of them whole); ``cosine`` is a number for kind
    "embedding" only. ``train`` and ``held_out`` are positions in the compared sequences.
    """

    train_id: str
    held_out_id: str
    kind: Literal["ngram", "embedding"]
    evidence: str
    cosine: float | None = None
    place: str = ""
    train: int = -1
    held_out: int = -1


def _runs(problem: Problem, size: int, *, specific: bool) -> Iterator[tuple[str, str]]:
    """(place, text): the statement and each solution whole, and every ``size`` words in a row of
    them; with ``specific`` only the rows specific to a task."""
    statement = statement_words(problem.statement)
    codes = [code_text(code) for code in problem.solutions]
    if len(statement) >= _MIN_WORDS:
        yield "whole statement", " ".join(statement)
    for code in codes:
        if len(words(code)) >= _MIN_WORDS:
            # With numbers and signs: x + 1 and x - 1 have the same words.
            yield "whole solution", " ".join(code.split())
    texts = [("statement", statement), *(("solution", words(code)) for code in codes)]
    for place, text in texts:
        common = _COMMON_WORDS if place == "statement" else _CODE_WORDS
        for start in range(len(text) - size + 1):
            run = text[start : start + size]
            if not specific or _is_specific(run, common):
                yield place, " ".join(run)


def _is_specific(run: Sequence[str], common: Set[str]) -> bool:
    """Whether a run is more than an idiom such as "the first line holds n" or two nested loops."""
    return len({word for word in run if len(word) > 1 and word not in common}) >= _MIN_SPECIFIC


def _shared_runs(
    train: Sequence[Problem], held_out: Sequence[Problem], size: int, sets: Sequence[str]
) -> Iterator[Leak]:
    holders: dict[tuple[str, str], list[int]] = {}  # run -> held-out problems that have it
    for position, problem in enumerate(held_out):
        for run in dict.fromkeys(_runs(problem, size, specific=True)):  # each once a problem
            holders.setdefault(run, []).append(position)
    kept = {run: _without_boilerplate(positions, sets) for run, positions in holders.items()}
    for number, problem in enumerate(train):
        first: dict[int, tuple[str, str]] = {}  # held-out problem -> first run shared with it
        # What is specific was decided above: a run of the training side only has to be equal.
        for run in _runs(problem, size, specific=False):
            for position in kept.get(run, ()):
                first.setdefault(position, run)
        for position in sorted(first):
            place, text = first[position]
            held_out_id = held_out[position].id
            yield Leak(problem.id, held_out_id, "ngram", text, None, place, number, position)


def _without_boilerplate(positions: list[int], sets: Sequence[str]) -> list[int]:
    """The problems that have a run, without those of a set in which it is boilerplate."""
    if len(positions) <= BOILERPLATE:
        return positions
    names = [sets[position] if sets else "" for position in positions]
    # By set: benchmarks that share problems must not hide one another's.
    return [p for p, n in zip(positions, names, strict=True) if names.count(n) <= BOILERPLATE]


def _unit(vectors: Vectors) -> Vectors:
    import numpy as np

    rows = np.array(vectors, dtype=np.float32)  # [texts, dim], a copy
    # A text of no words may have the zero vector: its cosines are 0, not NaN.
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows


def _near(
    train: Sequence[Problem], held_out: Sequence[Problem], similarity: float, encode: Encode
) -> Iterator[Leak]:
    import numpy as np

    theirs = _unit(encode([p.statement for p in held_out]))  # [held out, dim]
    for start in range(0, len(train), _BLOCK):
        part = train[start : start + _BLOCK]
        ours = _unit(encode([p.statement for p in part]))  # [block, dim]
        cosines = np.clip(ours @ theirs.T, -1.0, 1.0)  # [block, held out]
        # For equal texts rounding may end just below 1, hence the small tolerance.
        for a, b in zip(*np.nonzero(cosines >= similarity - 1e-6), strict=True):
            cosine = float(cosines[a, b])
            text, pair = f"cosine {cosine:.3f}", (start + int(a), int(b))
            yield Leak(part[a].id, held_out[b].id, "embedding", text, cosine, "", *pair)


def find_leaks(
    train: Sequence[Problem],
    held_out: Sequence[Problem],
    *,
    ngram: int,
    similarity: float,
    encode: Encode | None,
    sets: Sequence[str] = (),
) -> list[Leak]:
    """Pairs of a training and a held-out problem that are too near, in order of ``train``.

    Signs: ``ngram`` words in a row that statements or solutions share (runs in more than
    ``BOILERPLATE`` held-out problems of one set and runs without three words specific to a task
    do not count), equal statements or solutions of at least four words, or statements with a
    cosine >= ``similarity`` (only with ``encode``). At most one leak for a pair and kind.
    ``sets`` names the set of each held-out problem; without it they are one set.
    """
    leaks = list(_shared_runs(train, held_out, ngram, sets))
    if encode is not None and train and held_out:
        leaks += _near(train, held_out, similarity, encode)
    return leaks


def find_duplicates(problems: Sequence[Problem]) -> list[tuple[str, str]]:
    """Pairs (earlier id, later id) with the same id, statement or reference.

    Statements are compared by their words, references by syntax with their own names left out.
    A later problem is paired with the first that has its id, its statement or a reference.
    """
    first: dict[tuple[str, str], int] = {}
    pairs: dict[tuple[int, int], None] = {}  # a set that keeps its order
    for position, problem in enumerate(problems):
        for field, form in (("id", problem.id), *problem_forms(problem)):
            # By the field without its number: any two references may be the same.
            earlier = first.setdefault((field.partition(".")[0], form), position)
            if earlier != position:
                pairs[earlier, position] = None
    return [(problems[a].id, problems[b].id) for a, b in pairs]
