"""Report: a memory as one HTML page that needs nothing else.

How it grew, which errors there were over time, and a map of the texts it is searched by (the
first two principal components of their vectors), coloured by outcome. Time is the order of
the log in stretches of one stage and step, because records carry no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from falcon.memory.encoder import Vectors
from falcon.memory.plots import COLOURS, TYPE_COLOURS, Dot, Numbers, legend, scatter, stacked

if TYPE_CHECKING:
    from falcon.memory.long_term import LongTermMemory

BINS = 120
"""Stretches of history that are told apart; more are put together."""
TYPES = len(TYPE_COLOURS) - 1
"""Error types drawn apart; the rarer ones are put together."""
DOTS = 3000
"""Texts on the map, evenly over the log; more would hide each other."""
FITTED = 20_000
"""Vectors that the two components are computed from."""
OTHER = "other"

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5b6675; --page: #fff; --line: #d8dee6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ee; --soft: #9aa6b5; --page: #14181e; --line: #343d49; }
}
body { margin: 0 auto; padding: 1rem; max-width: 60rem; font: 16px/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--page); }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .3rem; }
p { color: var(--soft); margin: .3rem 0; overflow-wrap: anywhere; } svg { max-width: 100%; }
.key { margin-right: 1rem; font-size: .85rem; white-space: nowrap; }
.key i { display: inline-block; width: .8em; height: .8em; margin-right: .35em; border-radius: 2px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child, th:last-child, td:last-child { text-align: left; }
"""


class _Row(NamedTuple):
    """What the page needs of an experience."""

    stage: str
    step: int
    kind: str
    outcome: str
    error: str
    problem: str
    task: str


class _Stretch(NamedTuple):
    """Experiences of one stage and step in a row: their kinds and error types."""

    stage: str
    kinds: Counter[str]
    errors: Counter[str]


def _rows(memory: LongTermMemory) -> list[_Row]:
    return [
        _Row(
            stage=e.origin.stage,
            step=e.origin.step,
            kind=e.verdict.outcome.coarse,
            outcome=e.verdict.outcome.value,
            error=e.feedback.error_type,
            problem=e.problem_id,
            task=" ".join(e.task[:400].split())[:120],
        )
        for e in memory
    ]


def _history(rows: Sequence[_Row]) -> list[_Stretch]:
    found = [
        _Stretch(stage, Counter(r.kind for r in of), Counter(r.error for r in of if r.error))
        for (stage, _), group in groupby(rows, key=lambda row: (row.stage, row.step))
        for of in [list(group)]
    ]
    return list(_thinned(found))


def _thinned(found: Sequence[_Stretch]) -> Iterator[_Stretch]:
    """At most about BINS stretches, by putting neighbours of one stage together."""
    size = -(-len(found) // BINS)
    for stage, group in groupby(found, key=lambda stretch: stretch.stage):
        of = list(group)
        for start in range(0, len(of), size):
            part = of[start : start + size]
            kinds = sum((p.kinds for p in part), Counter[str]())
            yield _Stretch(stage, kinds, sum((p.errors for p in part), Counter[str]()))


def _marks(history: Sequence[_Stretch]) -> list[tuple[int, str]]:
    """Where a stage begins."""
    stages = ["", *(stretch.stage for stretch in history)]
    return [(i, now) for i, (was, now) in enumerate(pairwise(stages)) if now != was]


def growth(history: Sequence[_Stretch]) -> str:
    """Experiences so far, by class of outcome."""
    layers: dict[str, Numbers] = {
        kind: np.cumsum([stretch.kinds[kind] for stretch in history], dtype=np.float64)
        for kind in COLOURS
    }
    return stacked(layers, COLOURS, _marks(history), label="Growth of the memory")


def type_colours(history: Sequence[_Stretch]) -> dict[str, str]:
    """The error types drawn apart, the most frequent first, then the rest."""
    counts = sum((stretch.errors for stretch in history), Counter[str]())
    names = [name for name, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]
    shown = [*names[:TYPES], OTHER] if len(names) > TYPES else names
    return dict(zip(shown, TYPE_COLOURS, strict=False))


def errors_over_time(history: Sequence[_Stretch], colours: Mapping[str, str]) -> str:
    """Shares of the error types among the programs of each stretch, in percent."""
    layers: dict[str, Numbers] = {}
    everything = np.array([max(1, stretch.kinds.total()) for stretch in history])
    for name in colours:
        counts = [
            sum(n for error, n in stretch.errors.items() if error not in colours)
            if name == OTHER
            else stretch.errors[name]
            for stretch in history
        ]
        layers[name] = 100 * np.array(counts, np.float64) / everything
    return stacked(layers, colours, _marks(history), label="Error types over time", unit=" %")


def plane(vectors: Vectors) -> Numbers:
    """Vectors [n, dim] on their first two principal components: [n, 2], the sign fixed."""
    if len(vectors) < 2:
        return np.zeros((len(vectors), 2))
    some = vectors[:: -(-len(vectors) // FITTED)].astype(np.float64)
    mean = some.mean(axis=0)
    _, axes = np.linalg.eigh((some - mean).T @ (some - mean))
    two = axes[:, [-1, -2]]
    greatest = np.abs(two).argmax(axis=0)
    two = two * np.sign(two[greatest, [0, 1]])
    return np.asarray((vectors - mean) @ two, np.float64)


def _dots(rows: Sequence[_Row], texts: Sequence[int], vectors: Vectors) -> list[Dot]:
    sizes = Counter(texts)
    first: dict[int, int] = {}
    for number, text in enumerate(texts):
        first.setdefault(text, number)
    places = plane(vectors)
    shown = sorted(first)[:: -(-len(first) // DOTS) or 1]
    made = []
    for text in shown:
        row, (x, y) = rows[first[text]], places[text]
        said = ", ".join(part for part in (row.outcome, row.error) if part)
        told = f"{row.problem}: {said} ({sizes[text]})\n{row.task}"
        made.append(Dot(float(x), float(y), row.kind, sizes[text], told))
    return made


def _error_table(memory: LongTermMemory) -> str:
    share = memory.error_share()
    cells = []
    located = memory.errors.located()
    for name, found in sorted(located.items(), key=lambda pair: (-pair[1].total, pair[0])):
        known = sorted(((n, line) for line, n in found.lines.items() if line), reverse=True)
        lines = ", ".join(f"{line} ({n})" for n, line in known[:5])
        cells.append(
            f"<tr><td>{escape(name)}</td><td>{found.total}</td><td>{share[name]:.3f}</td>"
            f"<td>{lines or '-'}</td></tr>"
        )
    head = (
        "<tr><th>error type</th><th>programs</th><th>P_error</th><th>most frequent lines</th></tr>"
    )
    return f'<div class="wide"><table>{head}{"".join(cells)}</table></div>'


def report_page(memory: LongTermMemory, title: str = "Long-term memory") -> str:
    """The page. Reads every experience once and embeds texts that have no vector yet."""
    rows = _rows(memory)
    history = _history(rows)
    colours = type_colours(history)
    passed = sum(row.kind == "pass" for row in rows)
    facts = (
        f"{len(rows)} experiences of {len({row.problem for row in rows})} problems, "
        f"{passed} of them pass. Digest {memory.digest()}."
    )
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{facts}</p>"]
    if rows:
        texts, vectors = memory.texts()
        dots = _dots(rows, texts, vectors)
        on_map = f"{len(dots)} of {len(vectors)} texts by the meaning that {escape(memory.encoder.name)} sees in them."
        parts += [
            "<h2>Growth</h2>",
            "<p>Experiences so far, in the order of the log; lines mark where a stage begins.</p>",
            legend(COLOURS),
            growth(history),
            "<h2>Error types over time</h2>",
            "<p>Programs that ended in each type, in percent of the programs of a step.</p>",
            legend(colours),
            errors_over_time(history, colours),
            _error_table(memory),
            "<h2>Map</h2>",
            f"<p>{on_map} Near points are similar tasks with similar feedback; a point's area "
            "is the number of experiences behind it.</p>",
            legend(COLOURS),
            scatter(dots, label="Map of the memory"),
        ]
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, '
        f'initial-scale=1"><title>{escape(title)}</title><style>{STYLE}</style>'
    )
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def write_report(memory: LongTermMemory, path: Path, title: str = "Long-term memory") -> None:
    """Write the page; whole or not at all."""
    import os

    page = report_page(memory, title).encode("utf-8", "replace")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.new-{os.getpid()}")
    try:
        with temporary.open("wb") as out:
            out.write(page)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
