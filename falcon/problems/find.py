"""Find: one problem by its id, in whatever source or benchmark the settings name."""

from __future__ import annotations

import difflib
from pathlib import Path

from falcon.config import Settings
from falcon.errors import UserError
from falcon.problems.problem import Problem
from falcon.problems.sources import load_benchmark, load_sources


def load_any(name: str, settings: Settings, data_dir: Path) -> list[Problem]:
    """All problems of one source, or of a benchmark where only that can be read."""
    if name.partition(":")[0] == "humaneval":
        return load_benchmark(name, data_dir)
    return load_sources(settings.data.model_copy(update={"sources": (name,)}), data_dir)


def find_problem(wanted: str, settings: Settings, data_dir: Path) -> Problem:
    """The problem of that id. Raises UserError naming those nearest to it."""
    names = [*settings.data.sources]
    names += [suite for suite in settings.benchmark.suites if suite not in names]
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
