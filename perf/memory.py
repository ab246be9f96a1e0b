"""Long-term memory beside FAISS flat and plain numpy, on the same vectors and queries.

For each size: appends a second (batches of 1024 with embeddings given, on disk when counted),
the building of the index, recall@10 against exact search, and the median of a query, alone
and in batches of 64. The memory's queries are whole recalls, with the experiences read from the
log, and the search of the index alone; none includes the embedding. Two kinds of vectors, 384
components: ``clustered`` (some fifty texts about one thing, as tasks are) and ``random`` (no
structure: the worst case for an approximate index). FAISS is no dependency: without it its
rows are left out. Run: ``python -m perf.memory [SIZE ...] [--vectors KIND]``. The index
answers at every size (``--search chroma``), also where the default compares with all texts. With
``--keep FOLDER`` the memory stays there and an interrupted run goes on with it; the rates of
appends and index are then those of the added part.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from falcon.config import Settings
from falcon.feedback.reward import Feedback, Reward
from falcon.memory import Experience, LongTermMemory, Origin, RecallQuery
from falcon.memory.encoder import Vectors
from falcon.memory.index import VectorIndex
from falcon.problems.problem import Split
from falcon.sandbox.verdict import CaseResult, Outcome, Verdict

DIM, K = 384, 10
QUERIES, GROUP = 192, 64
BATCH = 1024
SIZES = (1_000, 10_000, 100_000)
KINDS = ("clustered", "random")


class GivenVectors:
    """An encoder that looks up given vectors, so that embedding takes no time."""

    name, dim = "given", DIM

    def __init__(self) -> None:
        self.by_text: dict[str, Vectors] = {}

    def encode(self, texts: Sequence[str]) -> Vectors:
        """The vectors that were given for the texts."""
        return np.stack([self.by_text[text] for text in texts])


def vectors(kind: str, n: int, rng: np.random.Generator) -> Vectors:
    """``n`` unit vectors and, after them, QUERIES more of the same kind."""
    rows = rng.standard_normal((n + QUERIES, DIM), dtype=np.float32)
    if kind == "clustered":
        centres = rng.standard_normal((max(10, n // 50), DIM), dtype=np.float32)
        which = rng.integers(len(centres), size=len(rows))
        for start in range(0, len(rows), BATCH):
            part = slice(start, start + BATCH)
            rows[part] = centres[which[part]] + np.float32(0.7) * rows[part]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def experience(number: int) -> Experience:
    """A made-up experience; each has a problem, text and program of its own."""
    outcome = Outcome.PASS if number % 3 == 0 else Outcome.WRONG_ANSWER
    failed = outcome is not Outcome.PASS
    body = "".join(f"    x = x * {number + i} + {i}\n" for i in range(6))
    return Experience(
        problem_id=f"made/{number}",
        split=Split.TRAIN,
        task=f"Write a function that maps a number to a number, the one of number {number}.",
        program=f"def f(x):\n{body}    return x\n",
        verdict=Verdict(outcome=outcome, cases=(CaseResult(outcome=outcome),) * 5),
        feedback=Feedback(
            rewards=(Reward(term="coarse", value=1.0, span=None, reason="made"),),
            error_type="wrong-answer" if failed else "",
            error_line=2 if failed else 0,
            error_message="",
        ),
        score=1.0 - failed,
        origin=Origin(stage="train", step=number),
    )


def exact(rows: Vectors, queries: Vectors, k: int) -> list[list[int]]:
    """The k rows with the greatest cosine for each query, by numpy."""
    cosines = queries @ rows.T  # [queries, rows]
    near = np.argpartition(-cosines, k - 1, axis=1)[:, :k]  # the k nearest, not yet in order
    order = np.argsort(-np.take_along_axis(cosines, near, axis=1), axis=1)
    return [list(map(int, row)) for row in np.take_along_axis(near, order, axis=1)]


Answer = Callable[[int, int], list[list[int]]]
"""Numbers of the hits for the queries from a first one to a last one, which is left out."""


def timed(answer: Answer) -> tuple[float, float, list[list[int]]]:
    """Median milliseconds of a query alone and of one in a batch, and the hits of each query."""
    answer(0, 1)  # whatever is loaded at the first query is not timed
    alone, grouped, hits = [], [], []
    for number in range(QUERIES):
        since = time.perf_counter()
        hits += answer(number, number + 1)
        alone.append(time.perf_counter() - since)
    for start in range(0, QUERIES, GROUP):
        since = time.perf_counter()
        answer(start, start + GROUP)
        grouped.append((time.perf_counter() - since) / GROUP)
    return 1e3 * statistics.median(alone), 1e3 * statistics.median(grouped), hits


def megabytes(folder: Path) -> float:
    """Size on disk of all files below."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6


def line(name: str, truth: list[list[int]], answer: Answer) -> str:
    """A row of the table."""
    alone, grouped, hits = timed(answer)
    pairs = zip(truth, hits, strict=True)
    share = statistics.mean(len(set(right) & set(got)) / len(right) for right, got in pairs)
    return f"  {name:<26} {share:9.4f} {alone:10.3f} {grouped:12.3f}"


def fill(memory: LongTermMemory, rows: Vectors) -> float:
    """Append an experience for each row that has none; the seconds that appending took."""
    spent = 0.0
    for start in range(len(memory), len(rows), BATCH):
        part = rows[start : start + BATCH]
        made = [experience(start + i) for i in range(len(part))]
        since = time.perf_counter()
        memory.append(made, part)
        spent += time.perf_counter() - since
    return spent


def rate(n: int, seconds: float) -> str:
    """A rate as text."""
    return f"{n / seconds:.0f}/s of {n}" if n else "nothing to do"


def build(memory: LongTermMemory, rows: Vectors, name: str) -> VectorIndex:
    """Append what is missing, bring the index up to it, and print how fast that went."""
    before = len(memory)
    appended = fill(memory, rows)
    put = 0

    def show(count: int) -> None:
        nonlocal put
        put += count
        if sys.stderr.isatty():
            print(f"\r  index: {put} put in", end="", file=sys.stderr, flush=True)

    since = time.perf_counter()
    index = memory.update_index(show)
    built = time.perf_counter() - since
    print(
        f"\n{name}, {len(rows)} experiences: appends {rate(len(rows) - before, appended)}, index "
        f"{rate(put, built)}; {psutil.Process().memory_info().rss / 1e6:.0f} MB of RAM"
    )
    return index


@contextmanager
def place_of(keep: Path | None) -> Iterator[Path]:
    """``keep``, or a temporary folder."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="falcon-memory-") as folder:
        yield Path(folder)


def measure(kind: str, n: int, faiss: Any, settings: Settings, keep: Path | None) -> None:
    """Print the tables of one size."""
    rows = vectors(kind, n, np.random.default_rng(n))
    rows, queries = rows[:n], rows[n:]
    k = min(K, n)
    truth = [
        row
        for start in range(0, QUERIES, 32)
        for row in exact(rows, queries[start : start + 32], k)
    ]
    encoder = GivenVectors()
    tasks = [f"query {i}" for i in range(QUERIES)]
    encoder.by_text = dict(zip(tasks, queries, strict=True))
    with place_of(keep and keep / f"{kind}-{n}") as place:
        folder = place / "memory"
        with LongTermMemory.open(folder, encoder, writable=True, settings=settings) as memory:
            index = build(memory, rows, kind)
            print(f"  {'':<26} {'recall@10':>9} {'query, ms':>10} {'of 64, ms':>12}")

            def recalled(start: int, stop: int) -> list[list[int]]:
                hits = memory.recall_many(tasks[start:stop], RecallQuery(k, min_similarity=-1))
                return [[hit.experience.origin.step for hit in row] for row in hits]

            def searched(start: int, stop: int) -> list[list[int]]:
                near = index.nearest(queries[start:stop], k + 16)
                return [[number for number, _ in row[:k]] for row in near]

            print(line("memory, recall", truth, recalled), flush=True)
            print(line("memory, search alone", truth, searched), flush=True)
        since = time.perf_counter()
        with LongTermMemory.open(folder, encoder, settings=settings) as memory:
            opened = time.perf_counter() - since
            since = time.perf_counter()
            memory.recall(tasks[0], k=k, min_similarity=-1)
            first = time.perf_counter() - since
        on_disk = megabytes(folder), megabytes(folder.with_name("memory.index"))
    print(line("numpy, exact", truth, lambda a, b: exact(rows, queries[a:b], k)), flush=True)
    if faiss is not None:
        flat = faiss.IndexFlatIP(DIM)
        flat.add(rows)
        for threads in sorted({1, os.cpu_count() or 1}):
            faiss.omp_set_num_threads(threads)
            name = f"FAISS flat, threads: {threads}"
            print(line(name, truth, lambda a, b: flat.search(queries[a:b], k)[1].tolist()))
    print(
        f"  opened again in {opened:.2f} s, first recall {first:.2f} s; on disk: log "
        f"{on_disk[0]:.0f} MB, index {on_disk[1]:.0f} MB",
        flush=True,
    )


def load_faiss() -> Any:
    """FAISS, or None and a line that says so."""
    try:
        import faiss
    except ImportError:
        print("FAISS is not installed (`.venv/bin/pip install faiss-cpu`): without its rows.")
        return None
    return faiss


def main(arguments: list[str]) -> None:
    """Print a table for each kind of vectors and size."""
    parser = argparse.ArgumentParser(prog="python -m perf.memory")
    parser.add_argument("sizes", nargs="*", type=int, default=list(SIZES), metavar="SIZE")
    parser.add_argument("--vectors", choices=KINDS, action="append", metavar="KIND")
    parser.add_argument("--search", choices=("auto", "chroma", "exact"), default="chroma")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="go on with what is there")
    chosen = parser.parse_args(arguments)
    logging.getLogger("falcon").setLevel(logging.WARNING)
    settings = Settings().changed({"machine.search": chosen.search})
    s = settings.memory
    print(
        f"search {chosen.search}; HNSW M {s.hnsw_neighbors}, construction {s.hnsw_construction},"
        f" search {s.hnsw_search}; "
        f"{os.cpu_count()} cores"
    )
    faiss = load_faiss()
    for kind in chosen.vectors or KINDS:
        for n in chosen.sizes:
            measure(kind, n, faiss, settings, chosen.keep)


if __name__ == "__main__":
    main(sys.argv[1:])
