"""Check: everything that is wrong with files and folders of problems, without stopping at any.

Beyond what a loader refuses: the same problem in two splits. Nothing is run or repaired.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from falcon.errors import UserError
from falcon.problems.apps_folder import file_of
from falcon.problems.canonical import problem_forms
from falcon.problems.fault import ProblemFault
from falcon.problems.files import read_file, read_folder
from falcon.problems.formats import field_in
from falcon.problems.problem import Problem

KINDS = {  # formats that a path may have when it is written KIND:PATH
    "jsonl": ("own", "sanitized"),
    "mbpp": ("mbpp", "sanitized"),
    "humaneval": ("humaneval",),
    "evalplus": ("evalplus",),
    "apps": ("apps",),
    "leetcode": ("leetcode",),
}
_WITHOUT_SPLITS = ("apps", "leetcode")  # formats whose rows name no split: a file is a split


@dataclass(frozen=True, slots=True)
class Entry:
    """A problem, the format and place it was read from (see :class:`falcon.problems.files.Reading`)
    and its split: its own, or the name of its file or folder."""

    format: str
    file: Path
    row: int
    problem: Problem
    split: str

    def fault(self, field: str, message: str) -> ProblemFault:
        """A fault of this problem, in the file and field that hold ``field`` of a Problem."""
        file_field = field_in(self.format, field)
        file = self.file if self.row else file_of(self.file, file_field)
        return ProblemFault(file, self.row, file_field, f"`{self.problem.id}`: {message}")

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


def check_files(names: Sequence[str]) -> Checked:
    """Check paths, or KIND:PATH, together.

    Raises UserError for a path that is not there or cannot be read at all.
    """
    entries: list[Entry] = []
    faults: list[ProblemFault] = []
    for name in dict.fromkeys(names):
        more, wrong = _read(*_named(name))
        entries += more
        faults += wrong
    faults += _overlaps(entries)
    return Checked(entries, sorted(faults, key=lambda fault: (str(fault.file), fault.row)))


def _named(name: str) -> tuple[Path, tuple[str, ...]]:
    """The path of PATH or KIND:PATH, and the formats it may have."""
    kind, colon, rest = name.partition(":")
    if colon and kind in KINDS and not Path(name).exists():
        if not rest:
            raise UserError(f"`{name}` names no file.", hint=f"Write {kind}:PATH.")
        return Path(rest).expanduser(), KINDS[kind]
    return Path(name).expanduser(), ()


def _read(path: Path, formats: tuple[str, ...]) -> tuple[list[Entry], list[ProblemFault]]:
    if path.is_dir() and formats and "apps" not in formats:
        message = "this is a folder; of folders only APPS is read, use apps:PATH"
        return [], [ProblemFault(path, 0, "", message)]
    read = read_folder(path) if path.is_dir() else read_file(path, *formats)
    entries = []
    for file, row, problem in read.problems:
        split = problem.split.value
        if read.format in _WITHOUT_SPLITS:
            # train.jsonl.gz -> train; APPS/train/0042 -> train, also where path is "."
            split = file.name.partition(".")[0] if row else file.resolve().parent.name
        entries.append(Entry(read.format, file, row, problem, split))
    return entries, read.faults


def _overlaps(entries: Sequence[Entry]) -> list[ProblemFault]:
    """Faults of problems whose statement or solution an earlier entry of another split has."""
    first: dict[tuple[str, str], dict[str, Entry]] = {}  # by text, then by split
    faults = []
    for entry in entries:
        for field, text in problem_forms(entry.problem):
            what = "statement" if field == "statement" else "solution"
            by_split = first.setdefault((what, text), {})
            other = next((each for split, each in by_split.items() if split != entry.split), None)
            if other is not None:
                message = (
                    f"split {entry.split} has the {what} of `{other.problem.id}` of split"
                    f" {other.split} ({other.place})"
                )
                faults.append(entry.fault(field, message))
            by_split.setdefault(entry.split, entry)
    return faults
