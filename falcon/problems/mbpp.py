"""MBPP (Austin et al. 2021), the full file and the sanitized one.

Task ids decide the split: 1 to 10 demonstrations, 11 to 510 test, 511 to 600 validation,
601 to 974 training. The statement is the task's text; the first assert is shown to the
model. Asserts are kept as code: whether they hold is the sandbox's business.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from falcon.errors import UserError
from falcon.problems.fault import ProblemFault, validation_faults
from falcon.problems.jsonl import Parsed
from falcon.problems.problem import Difficulty, Problem, Split
from falcon.problems.reference import called_function, defined_functions, parse
from falcon.problems.rows import Row
from falcon.suite import CodeSuite

_LAST = 974


class _MbppRow(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    task_id: int = Field(ge=1, le=_LAST)
    code: str = Field(min_length=1)
    test_list: list[str] = Field(min_length=1)
    test_setup_code: str = ""
    test_imports: list[str] = []


def split_of(task_id: int) -> Split:
    """The standard split of a task (1 to 974)."""
    if task_id <= 10:
        return Split.DEMO
    if task_id <= 510:
        return Split.TEST
    return Split.VALID if task_id <= 600 else Split.TRAIN


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _entry_point(code: str, asserts: list[str]) -> str:
    try:
        defined = defined_functions(parse(code))
    except SyntaxError:
        return ""  # reported with the reference, by its own fault
    return called_function(asserts[0], defined)


def _problem(file: Path, number: int, row: dict[str, Any]) -> Problem | list[ProblemFault]:
    faults: list[ProblemFault] = []
    field = "text" if "text" in row else "prompt"
    text = row.get(field)
    if not isinstance(text, str) or not text.strip():
        faults.append(ProblemFault(file, number, field, "the task's text is missing"))
    try:
        parsed = _MbppRow.model_validate(row)
    except ValidationError as fault:
        return faults + validation_faults(file, number, fault)
    code, asserts = _unix(parsed.code), [_unix(each).strip() for each in parsed.test_list]
    try:
        entry = _entry_point(code, asserts)
    except SyntaxError as fault:
        entry = ""
        faults.append(ProblemFault(file, number, "test_list.0", f"does not parse ({fault.msg})"))
    else:
        if not entry and not _broken(code):
            message = "the entry point is not defined by the reference: the first assert calls none of its functions"
            faults.append(ProblemFault(file, number, "code", message))
    if faults or not isinstance(text, str):
        return faults
    setup = "\n".join([*parsed.test_imports, _unix(parsed.test_setup_code)]).strip()
    return Problem(
        id=f"mbpp/{parsed.task_id}",
        source="mbpp",
        split=split_of(parsed.task_id),
        difficulty=Difficulty.INTRODUCTORY,
        statement=_unix(text).strip(),
        entry_point=entry,
        examples=asserts[0],
        tests=CodeSuite(entry_point=entry, asserts=tuple(asserts), setup=setup),
        solutions=(code,),
    )


def _broken(code: str) -> bool:
    try:
        parse(code)
    except SyntaxError:
        return True
    return False


def parse_mbpp(file: Path, rows: list[Row]) -> Parsed:
    """Rows of either MBPP file as problems ``mbpp/ID``."""
    problems: list[tuple[int, Problem]] = []
    faults: list[ProblemFault] = []
    for number, row in rows:
        found = _problem(file, number, row)
        if isinstance(found, Problem):
            problems.append((number, found))
        else:
            faults += found
    return problems, faults


def hub_rows(name: str) -> list[Row]:
    """Rows of a hub data set, all splits, in order of task id.

    Raises UserError when the package ``datasets`` is absent or cannot load ``name``.
    """
    if importlib.util.find_spec("datasets") is None:
        raise UserError(
            f"mbpp:{name}: there is no such file, and loading from the hub needs the package `datasets`.",
            hint="Give the path of mbpp.jsonl or sanitized-mbpp.json.",
        )
    datasets: Any = importlib.import_module("datasets")
    try:
        loaded = datasets.load_dataset(name)
    except Exception as fault:  # whatever the hub client raises is the user's to mend
        reason = (str(fault).splitlines() or [""])[0] or type(fault).__name__
        raise UserError(
            f"mbpp:{name}: the hub did not give it ({reason}).",
            hint="Give the path of mbpp.jsonl or sanitized-mbpp.json.",
        ) from fault
    rows = [dict(row) for split in loaded.values() for row in split]
    rows.sort(key=lambda row: row.get("task_id", 0))
    return list(enumerate(rows, start=1))
