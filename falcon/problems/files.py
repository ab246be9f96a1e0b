"""Files and folders of problems, read whole, with everything that is wrong with them at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from falcon.problems.apps import parse_apps
from falcon.problems.apps_folder import read_folders
from falcon.problems.evalplus import parse_evalplus
from falcon.problems.fault import ProblemFault
from falcon.problems.fields import field_in
from falcon.problems.humaneval import parse_humaneval
from falcon.problems.jsonl import Parsed, parse_own
from falcon.problems.leetcode import parse_leetcode
from falcon.problems.mbpp import parse_mbpp
from falcon.problems.problem import Problem
from falcon.problems.reference import reference_faults, suite_faults
from falcon.problems.rows import Row, form_of, looks_like, misplaced, read_rows

PATH = "Give the path of an existing file."
_PARSERS: dict[str, Callable[[Path, list[Row]], Parsed]] = {
    "own": parse_own,
    "mbpp": parse_mbpp,
    "sanitized": parse_mbpp,
    "humaneval": parse_humaneval,
    "evalplus": parse_evalplus,
    "apps": parse_apps,
    "leetcode": parse_leetcode,
}

Inspected = Parsed
"""The problems that could be read with their row numbers, and all that is wrong with the file."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of one form: problems with where they stand, and all that is wrong.

    A place is the file and the row; in a tree of folders the problem's own folder and 0.
    """

    form: str
    problems: list[tuple[Path, int, Problem]]
    faults: list[ProblemFault]


def _twice(
    file: Path, problems: list[tuple[int, Problem]], place: Callable[[int], str]
) -> list[ProblemFault]:
    first: dict[str, int] = {}
    faults = []
    for row, problem in problems:
        if problem.id in first:
            message = f"duplicate id `{problem.id}` (first in {place(first[problem.id])})"
            faults.append(ProblemFault(file, row, "id", message))
        first.setdefault(problem.id, row)
    return faults


def parse_rows(
    file: Path, rows: list[Row], form: str, place: Callable[[int], str] = "row {}".format
) -> Inspected:
    """Problems of rows of one form and everything wrong with them, duplicate ids included.

    A row plainly of another form is one fault and is not read. ``place`` puts the number of a
    row into words.
    """
    parse = _PARSERS[form]
    mine = [row for row in rows if _PARSERS.get(form_of(row[1]) or form) is parse]
    kept = {number for number, _ in mine}
    faults = [ProblemFault(file, n, "", looks_like(r)) for n, r in rows if n not in kept]
    problems, more = parse(file, mine)
    found = _twice(file, problems, place)
    for row, problem in problems:
        found += reference_faults(file, row, problem) + suite_faults(file, row, problem)
    faults += more + [replace(each, field=field_in(form, each.field)) for each in found]
    return problems, sorted(faults, key=lambda fault: fault.row)


def _usual_form(rows: list[Row]) -> str:
    """The form most rows speak of, or "" where none does."""
    counts = Counter(form for _, row in rows if (form := form_of(row)))
    return counts.most_common(1)[0][0] if counts else ""


def read_file(path: Path, *forms: str, missing: str = PATH) -> Reading:
    """Read a file of one of ``forms`` (own, mbpp, sanitized, humaneval, ...; none: any of them).

    Returns all faults instead of raising the first, in order of rows. Raises UserError
    when the file cannot be read at all.
    """
    allowed = forms or tuple(_PARSERS)
    rows, faults = read_rows(path, missing=missing)
    found = _usual_form(rows)
    wrong = misplaced(path, found, *allowed)
    if wrong:
        return Reading(found, [], wrong)
    problems, more = parse_rows(path, rows, found or allowed[0])
    faults = sorted(faults + more, key=lambda fault: fault.row)
    return Reading(found, [(path, row, problem) for row, problem in problems], faults)


def inspect_file(path: Path, *forms: str, missing: str = PATH) -> Inspected:
    """:func:`read_file` as problems with their rows, and faults."""
    read = read_file(path, *forms, missing=missing)
    return [(row, problem) for _, row, problem in read.problems], read.faults


def read_folder(path: Path) -> Reading:
    """The problems below a folder of APPS, and all that is wrong.

    Ids must be unique within the folder that holds the problems, ``train`` or ``test``.
    """
    read = read_folders(path)
    problems: list[tuple[Path, int, Problem]] = []
    faults = list(read.faults)
    for parent in dict.fromkeys(folder.parent for folder in read.folders):
        rows = [row for row in read.rows if read.folders[row[0] - 1].parent == parent]
        parsed, wrong = parse_rows(
            parent, rows, "apps", place=lambda number: read.folders[number - 1].name
        )
        problems += [(read.folders[number - 1], 0, problem) for number, problem in parsed]
        faults += [read.placed(fault) for fault in wrong]
    return Reading("apps", problems, sorted(faults, key=lambda fault: fault.file))
