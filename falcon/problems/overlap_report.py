"""The overlap of training and benchmarks on paper: JSON or one HTML page, and a table for a terminal.

Files are whole or not there, need no network, and are equal bytes for equal findings.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from falcon.errors import UserError
from falcon.files import write_whole
from falcon.problems.overlap import Counts, Marked, Overlap, Pair, Touched

TEMPLATE = "overlap.html.j2"
FORMS = (".html", ".json")
_WIDTH = 400


def require_form(path: Path) -> None:
    """Raise UserError for a file whose name says neither HTML nor JSON."""
    if path.suffix not in FORMS:
        raise UserError(
            f"--out {path}: a report is HTML or JSON.", hint="Name a file in .html or .json."
        )


def write_overlap(found: Overlap, path: Path) -> None:
    """Write the report in the form that the file's name asks for (see :func:`require_form`)."""
    require_form(path)
    text = _page(found) if path.suffix == ".html" else _json(found)
    write_whole(path, text.encode("utf-8", "replace"))


def _page(found: Overlap) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("falcon.problems", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(found=found)


def _json(found: Overlap) -> str:
    tree = {
        "training_problems": found.train,
        "ngram": found.ngram,
        "similarity": found.similarity,
        "benchmarks": {each.benchmark: _touched(each) for each in found.benchmarks},
        "pairs": [_pair(pair) for pair in found.pairs],
    }
    return json.dumps(tree, indent=2, allow_nan=False) + "\n"


def _touched(each: Touched) -> dict[str, Any]:
    return {
        "problems": each.problems,
        "share": round(each.share, 6),
        "touched": _counts(each.touched),
        "training": _counts(each.training),
    }


def _counts(counts: Counts) -> dict[str, int]:
    return {"ngram": counts.ngram, "embedding": counts.embedding, "either": counts.either}


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


def table_rows(found: Overlap) -> list[tuple[str, ...]]:
    """The counts as rows of text, the head first."""
    embedded = found.similarity is not None
    rows: list[tuple[str, ...]] = [
        ("BENCHMARK", "PROBLEMS", "TOUCHED", "SHARE", "BY WORDS", "BY EMBEDDING", "TRAINING")
    ]
    for each in found.benchmarks:
        by_embedding = str(each.touched.embedding) if embedded else "-"
        rows.append(
            (
                each.benchmark,
                str(each.problems),
                str(each.touched.either),
                f"{100 * each.share:.1f} %",
                str(each.touched.ngram),
                by_embedding,
                str(each.training.either),
            )
        )
    return rows


def pair_lines(pair: Pair) -> list[str]:
    """One pair for a terminal: the ids, the evidence, and both texts around what is shared."""
    head = f"{pair.train_id} and {pair.held_out_id} ({pair.benchmark}): {pair.evidence}"
    sides = zip(("training", "benchmark"), pair.texts, strict=True)
    return [head, *(f"  {name}: {_excerpt(text)}" for name, text in sides)]


def _excerpt(text: Marked) -> str:
    """The text in one line; of a long one the part around the shared run."""
    plain = " ".join(_plain(text).split())
    if len(plain) <= _WIDTH:
        return plain
    before = " ".join(text[0][0].split()) if len(text) > 1 else ""
    start = max(0, min(len(before) - 60, len(plain) - _WIDTH))
    end = start + _WIDTH
    return f"{'…' if start else ''}{plain[start:end]}{'…' if end < len(plain) else ''}"
