"""Overlap: how much of each benchmark a set of training problems gives away, with the pairs.

By the two signs of :mod:`falcon.problems.leaks`; both signs of one training problem and one
problem of a benchmark make one pair. It only reports; commands and checks decide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from falcon.problems.canonical import code_text, statement_word_spans, word_spans, words
from falcon.problems.leaks import Encode, Leak, find_leaks
from falcon.problems.problem import Problem

Marked = tuple[tuple[str, bool], ...]  # A text in parts; True marks the shared run


@dataclass(frozen=True, slots=True)
class Pair:
    """A training problem, the problem of ``benchmark`` that it overlaps, and why.

    ``run``: the shared words, and ``place`` where they stand ("statement" or "solution"; both ""
    without a shared run). ``cosine`` of the statements, None below the threshold. ``texts``: both
    statements, or both solutions as they were compared, without comments and imports.
    """

    benchmark: str
    train_id: str
    held_out_id: str
    place: str
    run: str
    cosine: float | None
    texts: tuple[Marked, Marked]

    @property
    def evidence(self) -> str:
        """The signs in words."""
        signs = []
        if self.run:
            count = len(self.run.split())
            signs.append(f"{count} words of the {self.place}s in a row: {self.run}")
        if self.cosine is not None:
            signs.append(f"cosine {self.cosine:.3f} of the statements")
        return "; ".join(signs)


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of problems with a sign: words in a row, near statements, either."""

    ngram: int
    embedding: int
    either: int


@dataclass(frozen=True, slots=True)
class BenchmarkOverlap:
    """One benchmark: its size, how many of its problems have a sign, and how many training
    problems have a sign with it."""

    benchmark: str
    problems: int
    touched: Counts
    training: Counts

    @property
    def share(self) -> float:
        """Part of the benchmark that has either sign, 0 to 1."""
        return self.touched.either / self.problems if self.problems else 0.0


@dataclass(frozen=True, slots=True)
class Overlap:
    """A whole comparison. ``similarity`` is None where statements were not embedded."""

    train: int
    ngram: int
    similarity: float | None
    benchmarks: tuple[BenchmarkOverlap, ...]
    pairs: tuple[Pair, ...]
    leaks: tuple[Leak, ...]


def find_overlap(
    train: Sequence[Problem],
    benchmarks: Mapping[str, Sequence[Problem]],
    *,
    ngram: int,
    similarity: float,
    encode: Encode | None,
) -> Overlap:
    """Compare ``train`` with all benchmarks; without ``encode`` by words alone."""
    # All in one sequence, so that each training statement is embedded once.
    held_out = [problem for problems in benchmarks.values() for problem in problems]
    sets = [name for name, problems in benchmarks.items() for _ in problems]
    leaks = find_leaks(
        train, held_out, ngram=ngram, similarity=similarity, encode=encode, sets=sets
    )
    by_pair: dict[tuple[int, int], list[Leak]] = {}  # (held out, train), in the benchmarks' order
    for leak in leaks:
        by_pair.setdefault((leak.held_out, leak.train), []).append(leak)
    pairs = [
        _pair(sets[b], train[a], held_out[b], signs) for (b, a), signs in sorted(by_pair.items())
    ]
    return Overlap(
        train=len(train),
        ngram=ngram,
        similarity=similarity if encode is not None else None,
        benchmarks=tuple(_touched(n, len(p), leaks, sets) for n, p in benchmarks.items()),
        pairs=tuple(pairs),
        leaks=tuple(leaks),
    )


def _touched(name: str, size: int, leaks: Sequence[Leak], sets: Sequence[str]) -> BenchmarkOverlap:
    own = [leak for leak in leaks if sets[leak.held_out] == name]

    def count(side: str) -> Counts:
        # Sets, since one problem may have several leaks, and "either" is less than the sum.
        positions = (
            {getattr(leak, side) for leak in own if leak.kind in kinds}
            for kinds in (("ngram",), ("embedding",), ("ngram", "embedding"))
        )
        return Counts(*map(len, positions))

    return BenchmarkOverlap(name, size, count("held_out"), count("train"))


def _pair(benchmark: str, train: Problem, held_out: Problem, leaks: Sequence[Leak]) -> Pair:
    cosine = next((leak.cosine for leak in leaks if leak.kind == "embedding"), None)
    shared = next((leak for leak in leaks if leak.kind == "ngram"), None)
    if shared is None:
        texts: tuple[Marked, Marked] = ((train.statement, False),), ((held_out.statement, False),)
        return Pair(benchmark, train.id, held_out.id, "", "", cosine, texts)
    place = shared.place.removeprefix("whole ")
    run, marked = _shown(train, held_out, place, words(shared.evidence))
    return Pair(benchmark, train.id, held_out.id, place, run, cosine, marked)


def _shown(
    train: Problem, held_out: Problem, place: str, gram: list[str]
) -> tuple[str, tuple[Marked, Marked]]:
    """The longest shared run around the words ``gram``, and both texts with that run marked."""
    spans = statement_word_spans if place == "statement" else word_spans
    sides = []
    for problem in (train, held_out):
        texts = [problem.statement]
        if place != "statement":
            texts = [code_text(code) for code in problem.solutions]
        split = ((text, spans(text)) for text in texts)
        sides.append(next((t, s, at) for t, s in split if (at := _find(s, gram)) >= 0))
    (a, ours, i), (b, theirs, j) = sides  # text, its words with places, where the run begins
    size = len(gram)
    # A gram is a window of fixed size: grow it to the left, then to the right, while words agree.
    while i and j and ours[i - 1][0] == theirs[j - 1][0]:
        i, j, size = i - 1, j - 1, size + 1
    while (
        i + size < len(ours) and j + size < len(theirs) and ours[i + size][0] == theirs[j + size][0]
    ):
        size += 1
    run = " ".join(word for word, _, _ in ours[i : i + size])
    return run, (_marked(a, ours[i : i + size]), _marked(b, theirs[j : j + size]))


def _find(spans: Sequence[tuple[str, int, int]], gram: list[str]) -> int:
    """Where ``gram`` begins among the words, -1 if it does not occur."""
    text = [word for word, _, _ in spans]
    size = len(gram)
    starts = range(len(text) - size + 1)
    return next((i for i in starts if text[i : i + size] == gram), -1)


def _marked(text: str, run: Sequence[tuple[str, int, int]]) -> Marked:
    start, end = run[0][1], run[-1][2]  # characters, from the first word's start to the last's end
    return (text[:start], False), (text[start:end], True), (text[end:], False)
