"""Files and folders of problems, read whole, with everything that is wrong with them at once."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from falcon.errors import RowRefused
from falcon.problems.apps import read_apps
from falcon.problems.apps_folder import read_folders
from falcon.problems.evalplus import read_evalplus
from falcon.problems.fault import ProblemFault, validation_faults
from falcon.problems.formats import field_in, format_of, looks_like, wrong_format
from falcon.problems.humaneval import read_humaneval
from falcon.problems.leetcode import read_leetcode
from falcon.problems.mbpp import read_mbpp
from falcon.problems.problem import Problem
from falcon.problems.rows import Row, read_rows
from falcon.problems.syntax import reference_faults, suite_faults

PATH = "Give the path of an existing file."
_LOADERS: dict[str, Callable[[dict[str, Any]], Problem | None]] = {  # None: left out on purpose
    "own": Problem.model_validate,  # one `Problem` a row, as it is
    "mbpp": read_mbpp,
    "sanitized": read_mbpp,
    "humaneval": read_humaneval,
    "evalplus": read_evalplus,
    "apps": read_apps,
    "leetcode": read_leetcode,
}

Parsed = tuple[list[tuple[int, Problem]], list[ProblemFault]]
"""The problems that could be read with their row numbers, and all that is wrong with the file."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of one format: problems with their places, and all that is wrong.

    A place is the file and the row; in a tree of folders the problem's own folder and 0.
    """

    format: str
    problems: list[tuple[Path, int, Problem]]
    faults: list[ProblemFault]


def parse_rows(
    file: Path, rows: list[Row], name: str, place: Callable[[int], str] = "row {}".format
) -> Parsed:
    """Problems of rows of the format ``name`` and everything wrong with them, duplicate ids
    included.

    A row that is clearly of another format is one fault and is not read. ``place`` puts the
    number of a row into words.
    """
    load = _LOADERS[name]
    problems: list[tuple[int, Problem]] = []
    faults: list[ProblemFault] = []
    for number, row in rows:
        # Both files of MBPP have one loader, so that rows of the two may stand in one file.
        if _LOADERS.get(format_of(row) or name) is not load:
            faults.append(ProblemFault(file, number, "", looks_like(row)))
            continue
        try:
            problem = load(row)
        except RowRefused as refused:
            faults += [ProblemFault(file, number, *each) for each in refused.args]
        except ValidationError as error:
            faults += [ProblemFault(file, number, *each) for each in validation_faults(error)]
        else:
            problems += [(number, problem)] if problem is not None else []
    later = _duplicates(file, problems, place)
    for number, problem in problems:
        wrong = reference_faults(problem) + suite_faults(problem)
        later += [ProblemFault(file, number, *each) for each in wrong]
    # These speak of the Problem's fields; the author of the file knows the file's.
    faults += [replace(each, field=field_in(name, each.field)) for each in later]
    return problems, sorted(faults, key=lambda fault: fault.row)


def _duplicates(
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


def _usual_format(rows: list[Row]) -> str:
    """The format of most rows, "" where none shows any."""
    counts = Counter(name for _, row in rows if (name := format_of(row)))
    return counts.most_common(1)[0][0] if counts else ""


def read_file(path: Path, *formats: str, missing: str = PATH) -> Reading:
    """Read a file of one of ``formats`` (own, mbpp, sanitized, humaneval, ...; none: any).

    Returns all faults instead of raising the first, in order of rows. Raises UserError
    when the file cannot be read at all.
    """
    allowed = formats or tuple(_LOADERS)
    rows, faults = read_rows(path, missing=missing)
    name = _usual_format(rows)
    wrong = wrong_format(path, name, *allowed)
    if wrong:
        return Reading(name, [], wrong)
    problems, more = parse_rows(path, rows, name or allowed[0])
    faults = sorted(faults + more, key=lambda fault: fault.row)
    return Reading(name, [(path, row, problem) for row, problem in problems], faults)


def inspect_file(path: Path, *formats: str, missing: str = PATH) -> Parsed:
    """:func:`read_file` as problems with their rows, and faults."""
    read = read_file(path, *formats, missing=missing)
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
