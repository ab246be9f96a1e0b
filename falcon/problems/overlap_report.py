"""Reports of the overlap of training and benchmarks: JSON, one HTML page, lines for a terminal.

A file appears whole or not at all, needs no network, and has equal bytes for equal input.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from falcon.errors import UserError
from falcon.files import write_whole
from falcon.problems.overlap import BenchmarkOverlap, Marked, Overlap, Pair

TEMPLATE = "overlap.html.j2"
SUFFIXES = (".html", ".json")
_WIDTH = 400  # characters of a text that are shown in a terminal


def require_suffix(path: Path) -> None:
    """Raise UserError for a file that is neither .html nor .json."""
    if path.suffix not in SUFFIXES:
        raise UserError(
            f"--out {path}: a report is HTML or JSON.", hint="Name a file in .html or .json."
        )


def write_overlap(overlap: Overlap, path: Path) -> None:
    """Write the report as HTML or JSON, by the file's suffix (see :func:`require_suffix`)."""
    require_suffix(path)
    text = _page(overlap) if path.suffix == ".html" else _json(overlap)
    write_whole(path, text.encode("utf-8", "replace"))  # statements may hold lone surrogates


def _page(overlap: Overlap) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("falcon.problems", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(overlap=overlap)


def _json(overlap: Overlap) -> str:
    tree = {
        "training_problems": overlap.train,
        "ngram": overlap.ngram,
        "similarity": overlap.similarity,
        "benchmarks": {each.benchmark: _touched(each) for each in overlap.benchmarks},
        "pairs": [_pair(pair) for pair in overlap.pairs],
    }
    return json.dumps(tree, indent=2, allow_nan=False) + "\n"


def _touched(each: BenchmarkOverlap) -> dict[str, Any]:
    return {
        "problems": each.problems,
        "share": round(each.share, 6),
        "touched": asdict(each.touched),
        "training": asdict(each.training),
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "benchmark": pair.benchmark,
        "train_id": pair.train_id,
        "held_out_id": pair.held_out_id,
        "place": pair.place,
        "run": pair.run,
        "cosine": None if pair.cosine is None else round(pair.cosine, 3),
        "train_text": _plain(pair.texts[0]),
        "held_out_text": _plain(pair.texts[1]),
    }


def _plain(text: Marked) -> str:
    return "".join(part for part, _ in text)


def table_rows(overlap: Overlap) -> list[tuple[str, ...]]:
    """The counts as rows of text, headings first."""
    heads = ("BENCHMARK", "PROBLEMS", "TOUCHED", "SHARE", "BY WORDS", "BY EMBEDDING", "TRAINING")
    rows: list[tuple[str, ...]] = [heads]
    for each in overlap.benchmarks:
        counts, share = each.touched, f"{100 * each.share:.1f} %"
        near = counts.embedding if overlap.similarity is not None else "-"  # not embedded
        cells = (each.problems, counts.either, share, counts.ngram, near, each.training.either)
        rows.append((each.benchmark, *map(str, cells)))
    return rows


def pair_lines(pair: Pair) -> list[str]:
    """One pair for a terminal: ids, evidence, and both texts around the shared run."""
    head = f"{pair.train_id} and {pair.held_out_id} ({pair.benchmark}): {pair.evidence}"
    sides = zip(("training", "benchmark"), pair.texts, strict=True)
    return [head, *(f"  {name}: {_excerpt(text)}" for name, text in sides)]


def _excerpt(text: Marked) -> str:
    """The text in one line; a long one is cut to the part around the shared run."""
    plain = " ".join(_plain(text).split())
    if len(plain) <= _WIDTH:
        return plain
    before = " ".join(text[0][0].split()) if len(text) > 1 else ""
    # Up to 60 characters before the run; the end of the text is not passed.
    start = max(0, min(len(before) - 60, len(plain) - _WIDTH))
    end = start + _WIDTH
    return f"{'…' if start else ''}{plain[start:end]}{'…' if end < len(plain) else ''}"
