"""Check: everything that is wrong with files and folders of problems, without stopping at any.

Beyond what a loader refuses: references that do not pass, tests that the empty program
passes, and the same problem in two splits. Nothing is repaired.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from falcon.config import Settings
from falcon.errors import UserError
from falcon.problems.apps_folder import file_of
from falcon.problems.canonical import code_shape, statement_words
from falcon.problems.fault import ProblemFault
from falcon.problems.fields import field_in
from falcon.problems.files import read_file, read_folder
from falcon.problems.problem import Problem
from falcon.problems.reference import reference_faults, suite_faults

if TYPE_CHECKING:
    from falcon.sandbox import Verdict

KINDS = {
    "jsonl": ("own", "sanitized"),
    "mbpp": ("mbpp", "sanitized"),
    "humaneval": ("humaneval",),
    "evalplus": ("evalplus",),
    "apps": ("apps",),
    "leetcode": ("leetcode",),
}
"""Forms that a path must be of when it is written KIND:PATH."""
_WITHOUT_SPLITS = ("apps", "leetcode")
"""Forms whose rows name no split and that are trained on and scored on: a file is a split."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A problem, the form and place it was read from (see :class:`falcon.problems.files.Reading`)
    and the split it is of: its own, or the name of its file or folder."""

    form: str
    file: Path
    row: int
    problem: Problem
    split: str

    def fault(self, field: str, message: str) -> ProblemFault:
        """A fault of this problem, in the file and field that hold ``field`` of a Problem."""
        theirs = field_in(self.form, field)
        file = self.file if self.row else file_of(self.file, theirs)
        return ProblemFault(file, self.row, theirs, f"`{self.problem.id}`: {message}")

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return f"{self.file}, row {self.row}" if self.row else str(self.file)


@dataclass(frozen=True, slots=True)
class Checked:
    """The problems that could be read and all faults, in order of files and rows."""

    entries: list[Entry]
    faults: list[ProblemFault]

    @property
    def references(self) -> int:
        """Number of reference solutions."""
        return sum(len(entry.problem.solutions) for entry in self.entries)


def check_all(names: Sequence[str], settings: Settings | None) -> Checked:
    """Check paths, or KIND:PATH, together; programs are run under ``sandbox``, if given.

    Raises UserError for a path that is not there or cannot be read at all.
    """
    entries: list[Entry] = []
    faults: list[ProblemFault] = []
    for name in dict.fromkeys(names):
        found, wrong = _read(*_named(name))
        entries += found
        faults += wrong
    faults += _overlaps(entries)
    if settings is not None:
        faults += _judge(entries, settings)
    return Checked(entries, sorted(faults, key=lambda fault: (str(fault.file), fault.row)))


def _named(name: str) -> tuple[Path, tuple[str, ...]]:
    """The path of PATH or KIND:PATH, and the forms it may be of."""
    kind, colon, rest = name.partition(":")
    if colon and kind in KINDS and not Path(name).exists():
        if not rest:
            raise UserError(f"`{name}` names no file.", hint=f"Write {kind}:PATH.")
        return Path(rest).expanduser(), KINDS[kind]
    return Path(name).expanduser(), ()


def _read(path: Path, forms: tuple[str, ...]) -> tuple[list[Entry], list[ProblemFault]]:
    if path.is_dir() and forms and "apps" not in forms:
        message = "this is a folder; of folders only APPS is read, use apps:PATH"
        return [], [ProblemFault(path, 0, "", message)]
    found = read_folder(path) if path.is_dir() else read_file(path, *forms)
    entries = []
    for file, row, problem in found.problems:
        split = problem.split.value
        if found.form in _WITHOUT_SPLITS:
            split = file.name.partition(".")[0] if row else file.resolve().parent.name
        entries.append(Entry(found.form, file, row, problem, split))
    return entries, found.faults


def _keys(problem: Problem) -> Iterator[tuple[str, str]]:
    """(field, normal form) of what must not be in two splits."""
    yield "statement", " ".join(statement_words(problem.statement)) or problem.statement
    for number, code in enumerate(problem.solutions):
        if shape := code_shape(code):
            yield f"solutions.{number}", shape


def _overlaps(entries: Sequence[Entry]) -> list[ProblemFault]:
    """Problems of which another split has the statement or a solution, at the later place."""
    seen: dict[tuple[str, str], dict[str, Entry]] = {}
    faults = []
    for entry in entries:
        for field, normal in _keys(entry.problem):
            what = "statement" if field == "statement" else "solution"
            known = seen.setdefault((what, normal), {})
            other = next((each for split, each in known.items() if split != entry.split), None)
            if other is not None:
                message = (
                    f"split {entry.split} has the {what} of `{other.problem.id}` of split"
                    f" {other.split} ({other.place})"
                )
                faults.append(entry.fault(field, message))
            known.setdefault(entry.split, entry)
    return faults


def _judge(entries: Sequence[Entry], settings: Settings) -> list[ProblemFault]:
    """Faults of references that do not pass, and of tests that the empty program passes.

    What does not parse is a fault already and is not run.
    """
    from falcon.sandbox import Program, Sandbox

    cases: list[tuple[Entry, str, str]] = []
    for entry in entries:
        place = entry.file, entry.row, entry.problem
        if suite_faults(*place):
            continue
        broken = {fault.field for fault in reference_faults(*place)}
        cases.append((entry, "tests", ""))
        for number, code in enumerate(entry.problem.solutions):
            if not broken & {"tests.entry_point", f"solutions.{number}"}:
                cases.append((entry, f"solutions.{number}", code))
    if not cases:
        return []
    with Sandbox(settings) as sandbox:
        verdicts = sandbox.judge_all([Program(code, e.problem.tests) for e, _, code in cases])
    faults = []
    for (entry, field, _), verdict in zip(cases, verdicts, strict=True):
        if field == "tests":
            if verdict.passed:
                faults.append(entry.fault(field, "the empty program passes"))
        elif not verdict.passed:
            faults.append(entry.fault(field, _ending(verdict)))
    return faults


def _ending(verdict: Verdict) -> str:
    told = f": {verdict.error.type}: {verdict.error.message}" if verdict.error else ""
    told = told or (f": {verdict.detail}" if verdict.detail else "")
    tally = f", {verdict.n_pass} of {len(verdict.cases)} tests pass" if verdict.cases else ""
    return f"the reference ends in {verdict.outcome}{tally}{told}"
