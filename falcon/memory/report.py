"""Report: a memory as one self-contained HTML page.

Its growth, its errors over time, and a map of the texts it is searched by (the first two
principal components of their vectors), coloured by outcome. The time axis is the order of the
log, in stretches of one stage and step, because records of the pipeline have no time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from falcon.files import write_whole
from falcon.memory.encoder import Vectors
from falcon.memory.plots import COLOURS, TYPE_COLOURS, Dot, Numbers, legend, scatter, stacked

if TYPE_CHECKING:
    from falcon.memory.long_term import LongTermMemory

BINS = 120
"""Greatest number of stretches that are drawn; of more, neighbours are merged."""
TYPES = len(TYPE_COLOURS) - 1
"""Greatest number of error types with a colour of their own; rarer ones share one."""
DOTS = 3000
"""Greatest number of texts on the map, evenly over the log; more would hide each other."""
FITTED = 20_000
"""Greatest number of vectors from which the two components are computed."""
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
.key i { display: inline-block; width: .8em; height: .8em; margin-right: .35em;
  border-radius: 2px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child, th:last-child, td:last-child { text-align: left; }
"""


class _Row(NamedTuple):
    """The fields of an experience that the page shows."""

    stage: str
    step: int
    kind: str
    outcome: str
    error: str
    problem: str
    task: str


class _Stretch(NamedTuple):
    """Consecutive experiences of one stage and step: counts by class and by error type."""

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
    stretches = [
        _Stretch(stage, Counter(r.kind for r in of), Counter(r.error for r in of if r.error))
        for (stage, _), group in groupby(rows, key=lambda row: (row.stage, row.step))
        for of in [list(group)]  # groupby's group can be read only once
    ]
    return list(_merged(stretches))


def _merged(stretches: Sequence[_Stretch]) -> Iterator[_Stretch]:
    """About BINS stretches at most: neighbours of one stage are merged."""
    size = -(-len(stretches) // BINS)  # rounded up
    for stage, group in groupby(stretches, key=lambda stretch: stretch.stage):
        of = list(group)
        for start in range(0, len(of), size):
            part = of[start : start + size]
            kinds = sum((p.kinds for p in part), Counter[str]())
            yield _Stretch(stage, kinds, sum((p.errors for p in part), Counter[str]()))


def _marks(history: Sequence[_Stretch]) -> list[tuple[int, str]]:
    """The bins at which a stage begins, with its name."""
    stages = ["", *(stretch.stage for stretch in history)]
    return [(i, now) for i, (was, now) in enumerate(pairwise(stages)) if now != was]


def growth(history: Sequence[_Stretch]) -> str:
    """Plot of the number of experiences so far, by class of outcome."""
    layers: dict[str, Numbers] = {
        kind: np.cumsum([stretch.kinds[kind] for stretch in history], dtype=np.float64)
        for kind in COLOURS
    }
    return stacked(layers, COLOURS, _marks(history), label="Growth of the memory")


def type_colours(history: Sequence[_Stretch]) -> dict[str, str]:
    """Colours of the most frequent error types, then one for all others."""
    counts = sum((stretch.errors for stretch in history), Counter[str]())
    names = [name for name, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]
    shown = [*names[:TYPES], OTHER] if len(names) > TYPES else names
    return dict(zip(shown, TYPE_COLOURS, strict=False))


def errors_over_time(history: Sequence[_Stretch], colours: Mapping[str, str]) -> str:
    """Plot of the share of each error type among the programs of a stretch, in percent."""
    layers: dict[str, Numbers] = {}
    programs = np.array([max(1, stretch.kinds.total()) for stretch in history])
    for name in colours:
        counts = [
            sum(n for error, n in stretch.errors.items() if error not in colours)
            if name == OTHER
            else stretch.errors[name]
            for stretch in history
        ]
        layers[name] = 100 * np.array(counts, np.float64) / programs
    return stacked(layers, colours, _marks(history), label="Error types over time", unit=" %")


def plane(vectors: Vectors) -> Numbers:
    """Projection of vectors [n, dim] on their first two principal components: [n, 2]."""
    if len(vectors) < 2:
        return np.zeros((len(vectors), 2))
    some = vectors[:: -(-len(vectors) // FITTED)].astype(np.float64)
    mean = some.mean(axis=0)
    _, axes = np.linalg.eigh((some - mean).T @ (some - mean))  # ascending eigenvalues
    two = axes[:, [-1, -2]]  # [dim, 2]
    # An eigenvector's sign is arbitrary: make its greatest component positive, so that equal
    # memories give equal maps.
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
    dots = []
    for text in shown:
        row, (x, y) = rows[first[text]], places[text]
        outcome = ", ".join(part for part in (row.outcome, row.error) if part)
        label = f"{row.problem}: {outcome} ({sizes[text]})\n{row.task}"
        dots.append(Dot(float(x), float(y), row.kind, sizes[text], label))
    return dots


def _error_table(memory: LongTermMemory) -> str:
    share = memory.error_share()
    cells = []
    located = memory.errors.located()
    for name, count in sorted(located.items(), key=lambda pair: (-pair[1].total, pair[0])):
        frequent = sorted(((n, line) for line, n in count.lines.items() if line), reverse=True)
        lines = ", ".join(f"{line} ({n})" for n, line in frequent[:5])
        cells.append(
            f"<tr><td>{escape(name)}</td><td>{count.total}</td><td>{share[name]:.3f}</td>"
            f"<td>{lines or '-'}</td></tr>"
        )
    titles = ("error type", "programs", "P_error", "most frequent lines")
    head = f"<tr>{''.join(f'<th>{title}</th>' for title in titles)}</tr>"
    return f'<div class="wide"><table>{head}{"".join(cells)}</table></div>'


def report_page(memory: LongTermMemory, title: str = "Long-term memory") -> str:
    """The HTML of the page. Reads every experience once; embeds texts that have no vector yet."""
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
        encoder = escape(memory.encoder.name)
        on_map = f"{len(dots)} of {len(vectors)} texts, placed by their vectors ({encoder})."
        parts += [
            "<h2>Growth</h2>",
            "<p>Number of experiences, in the order of the log. A line marks a new stage.</p>",
            legend(COLOURS),
            growth(history),
            "<h2>Error types over time</h2>",
            "<p>Share of the programs of a step that ended in each type, in percent.</p>",
            legend(colours),
            errors_over_time(history, colours),
            _error_table(memory),
            "<h2>Map</h2>",
            f"<p>{on_map} Points near each other are similar tasks with similar feedback; larger "
            "points stand for more experiences.</p>",
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
    """Write the page, atomically."""
    page = report_page(memory, title).encode("utf-8", "replace")
    write_whole(path, page)
