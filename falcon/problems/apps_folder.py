"""The directory form of APPS: a folder a problem, a file a field."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from falcon.problems.fault import ProblemFault
from falcon.problems.rows import Row, why_not_json

TESTS_FILE = "input_output.json"
MISSING = "the file is missing"
_TEXTS = {
    "question": "question.txt",
    "input_output": TESTS_FILE,
    "solutions": "solutions.json",
    "starter_code": "starter_code.py",
}
_METADATA = "metadata.json"
_NEEDED = ("question.txt", TESTS_FILE, _METADATA)
_FILES = {**_TEXTS, "difficulty": _METADATA}
_MARKERS = ("question.txt", TESTS_FILE, "solutions.json")  # each shows a problem's folder


@dataclass(frozen=True, slots=True)
class AppsFolders:
    """The rows of a tree of folders, one a problem in order of their paths, and what could not
    be read. ``folders[row - 1]`` is the folder of a row."""

    rows: list[Row]
    folders: list[Path]
    faults: list[ProblemFault]

    def placed(self, fault: ProblemFault) -> ProblemFault:
        """The fault with the file that holds its field, instead of the number of a row."""
        if not fault.row:
            return fault
        file = file_of(self.folders[fault.row - 1], fault.field)
        return replace(fault, file=file, row=0)


def file_of(folder: Path, field: str) -> Path:
    """The file of a problem's folder that holds a field; the folder for any other."""
    return folder / _FILES[field] if field in _FILES else folder


def read_folders(path: Path) -> AppsFolders:
    """Read every folder below ``path`` (or itself) that holds files of a problem."""
    folders = sorted({file.parent for name in _MARKERS for file in path.rglob(name)})
    rows: list[Row] = []
    kept: list[Path] = []
    faults: list[ProblemFault] = []
    for folder in folders:
        row, wrong = _read(folder)
        faults += wrong
        if not wrong:
            kept.append(folder)
            rows.append((len(kept), row))
    if not folders:
        faults.append(ProblemFault(path, 0, "", "no problem of APPS in it"))
    return AppsFolders(rows, kept, faults)


def _read(folder: Path) -> tuple[dict[str, Any], list[ProblemFault]]:
    """One problem's files as a row of :func:`falcon.problems.apps.read_apps`, and what is wrong."""
    faults = [
        ProblemFault(folder / name, 0, "", MISSING)
        for name in _NEEDED
        if not (folder / name).is_file()
    ]
    row: dict[str, Any] = {"problem_id": folder.name}
    for field, name in _FILES.items():
        file = folder / name
        if not file.is_file():
            continue
        try:
            text = file.read_text(encoding="utf-8")
            # JSON of the other files is parsed with the row, where its faults get a field.
            row[field] = _level(text) if name == _METADATA else text
        except UnicodeDecodeError as error:
            faults.append(ProblemFault(file, 0, "", f"not UTF-8 text (byte {error.start})"))
        except (ValueError, RecursionError) as error:
            faults.append(ProblemFault(file, 0, "", why_not_json(error)))
        except OSError as error:
            faults.append(ProblemFault(file, 0, "", f"cannot be read ({error.strerror})"))
    return row, faults


def _level(metadata: str) -> Any:
    tree = json.loads(metadata)
    if not isinstance(tree, dict):
        raise ValueError("no JSON object")
    return tree.get("difficulty", "")
