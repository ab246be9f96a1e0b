"""Find: one problem by its id, and the training or held-out part of whatever is named."""

from __future__ import annotations

import difflib
from pathlib import Path

from falcon.config import Settings
from falcon.errors import UserError
from falcon.problems.problem import HELD_OUT, Difficulty, Problem
from falcon.problems.sources import load_benchmark, load_sources


def load_any(name: str, settings: Settings, data_dir: Path) -> list[Problem]:
    """All problems of one source, or of a benchmark where only that can be read."""
    if name.partition(":")[0] == "humaneval":
        return load_benchmark(name, data_dir)
    return load_sources(settings.data.model_copy(update={"sources": (name,)}), data_dir)


def load_training(name: str, settings: Settings, data_dir: Path) -> list[Problem]:
    """What of a source is trained on, of all difficulties. Raises UserError if it is nothing."""
    data = settings.data.model_copy(update={"sources": (name,), "difficulties": tuple(Difficulty)})
    found = [p for p in load_sources(data, data_dir) if p.split not in HELD_OUT]
    if not found:
        raise UserError(f"`{name}` holds no training problem.", hint="Name a source that does.")
    return found


def load_held_out(name: str, settings: Settings, data_dir: Path) -> list[Problem]:
    """The problems of a benchmark; of ``jsonl:PATH`` those of the splits valid and test."""
    if name.partition(":")[0] != "jsonl":
        return load_benchmark(name, data_dir)
    found = [p for p in load_any(name, settings, data_dir) if p.split in HELD_OUT]
    if not found:
        raise UserError(
            f"`{name}` holds no problem of the splits valid and test.",
            hint="Name a benchmark, or a file that does.",
        )
    return found


def find_problem(wanted: str, settings: Settings, data_dir: Path) -> Problem:
    """The problem of that id. Raises UserError naming those nearest to it."""
    names = [*settings.data.sources]
    names += [suite for suite in settings.benchmark.names if suite not in names]
    # The source that the id names first: others may not be on this machine.
    names.sort(key=lambda name: name.partition(":")[0] != wanted.partition("/")[0])
    known: list[str] = []
    for name in names:
        for problem in load_any(name, settings, data_dir):
            if problem.id == wanted:
                return problem
            known.append(problem.id)
    near = difflib.get_close_matches(wanted, known, n=3)
    hint = f"Near: {', '.join(near)}." if near else "`falcon problems list` shows them."
    raise UserError(f"There is no problem `{wanted}` in {', '.join(names)}.", hint=hint)
