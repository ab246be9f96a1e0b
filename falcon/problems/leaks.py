"""Leaks: a training problem that gives a held-out one away.

Two signs: a run of words shared by statements or by solutions (never across the two), and
statements whose embeddings are near. Time grows with the amount of text for the first and
with the product of the counts, in blocks, for the second.
"""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from falcon.problems.canonical import code_text, statement_words, words
from falcon.problems.problem import Problem

if TYPE_CHECKING:
    import numpy as np

    Vectors = np.ndarray[Any, np.dtype[Any]]

BOILERPLATE = 5
"""A run of words in more held-out problems than this belongs to the form, not to a problem."""
_BLOCK = 1024
_LEAST = 4
_TELLING = 3
_COMMON = frozenset(word.lower() for word in (*keyword.kwlist, *dir(builtins)))
_FORM_WORDS = """
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
_FORM = frozenset(_FORM_WORDS.split())
"""Words that tasks share by their form: articles, and how input and output are described."""

Encode = Callable[[Sequence[str]], "Vectors"]
"""Texts to vectors [texts, dim]."""


@dataclass(frozen=True, slots=True)
class Leak:
    """One training problem too near to one held-out problem.

    ``evidence`` is the shared run of words, or the cosine in words; ``place`` is where the run
    was found ("statement", "solution", or one of them whole); ``cosine`` is a number for kind
    "embedding" only. ``train`` and ``held_out`` are positions in what was compared.
    """

    train_id: str
    held_out_id: str
    kind: Literal["ngram", "embedding"]
    evidence: str
    cosine: float | None = None
    place: str = ""
    train: int = -1
    held_out: int = -1


def _grams(problem: Problem, size: int, *, telling: bool) -> Iterator[tuple[str, str]]:
    """(place, text): each statement and solution whole, and each run of its words, or each
    telling one."""
    statement = statement_words(problem.statement)
    codes = [code_text(code) for code in problem.solutions]
    if len(statement) >= _LEAST:
        yield "whole statement", " ".join(statement)
    for code in codes:
        if len(words(code)) >= _LEAST:
            yield "whole solution", " ".join(code.split())
    texts = [("statement", statement), *(("solution", words(code)) for code in codes)]
    for place, found in texts:
        for start in range(len(found) - size + 1):
            run = found[start : start + size]
            if not telling or _is_telling(run, _FORM if place == "statement" else _COMMON):
                yield place, " ".join(run)


def _is_telling(run: Sequence[str], common: Set[str]) -> bool:
    """Whether a run is more than an idiom: "the first line holds n", two nested loops."""
    return len({word for word in run if len(word) > 1 and word not in common}) >= _TELLING


def _shared_runs(
    train: Sequence[Problem], held_out: Sequence[Problem], size: int, sets: Sequence[str]
) -> Iterator[Leak]:
    owners: dict[tuple[str, str], list[int]] = {}
    for position, problem in enumerate(held_out):
        for gram in dict.fromkeys(_grams(problem, size, telling=True)):
            owners.setdefault(gram, []).append(position)
    kept = {gram: _own(holders, sets) for gram, holders in owners.items()}
    for number, problem in enumerate(train):
        found: dict[int, tuple[str, str]] = {}
        for gram in _grams(problem, size, telling=False):
            for position in kept.get(gram, ()):
                found.setdefault(position, gram)
        for position in sorted(found):
            place, run = found[position]
            theirs = held_out[position].id
            yield Leak(problem.id, theirs, "ngram", run, None, place, number, position)


def _own(holders: list[int], sets: Sequence[str]) -> list[int]:
    """Those that hold a run, without those of a set in which it is boilerplate."""
    if len(holders) <= BOILERPLATE:
        return holders
    of = [sets[position] if sets else "" for position in holders]
    return [p for p, name in zip(holders, of, strict=True) if of.count(name) <= BOILERPLATE]


def _unit(vectors: Vectors) -> Vectors:
    import numpy as np

    rows = np.array(vectors, dtype=np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows


def _near(
    train: Sequence[Problem], held_out: Sequence[Problem], similarity: float, encode: Encode
) -> Iterator[Leak]:
    import numpy as np

    theirs = _unit(encode([p.statement for p in held_out]))
    for start in range(0, len(train), _BLOCK):
        part = train[start : start + _BLOCK]
        ours = _unit(encode([p.statement for p in part]))
        # The last bits of a product may fall below 1 for equal texts.
        cosines = np.clip(ours @ theirs.T, -1.0, 1.0)
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

    ``ngram`` words in a row of statements or of solutions (runs in more than
    ``BOILERPLATE`` held-out problems of one set and runs without three telling words do not
    count), equal statements or solutions of any length (evidence: the whole), or statements of
    cosine >= ``similarity`` (without ``encode`` left out). At most one leak a pair and kind.
    ``sets`` names the set of each held-out problem; without it they are one set.
    """
    leaks = list(_shared_runs(train, held_out, ngram, sets))
    if encode is not None and train and held_out:
        leaks += _near(train, held_out, similarity, encode)
    return leaks
