"""MBPP (Austin et al. 2021), the full file and the sanitized one.

Task ids decide the split: 1 to 10 demonstrations, 11 to 510 test, 511 to 600 validation, 601 to
974 training. The statement is the task's text; the first assert is shown to the model. Asserts
are kept as code; the sandbox runs them.
"""

import importlib
import importlib.util
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from falcon.errors import RowRefused, UserError
from falcon.problems.fault import FieldFault, validation_faults
from falcon.problems.problem import Difficulty, Problem, Split
from falcon.problems.rows import Row
from falcon.problems.syntax import called_function, defined_functions, parse
from falcon.suite import CodeSuite

_LAST = 974
_NO_ENTRY_POINT = (
    "the entry point is not defined by the reference: the first assert calls none of its functions"
)


class _MbppRow(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    task_id: int = Field(ge=1, le=_LAST)
    code: str = Field(min_length=1)
    test_list: list[str] = Field(min_length=1)
    test_setup_code: str = ""  # of the full file
    test_imports: list[str] = []  # of the sanitized one


def split_of(task_id: int) -> Split:
    """The standard split of a task (1 to 974)."""
    if task_id <= 10:
        return Split.DEMO
    if task_id <= 510:
        return Split.TEST
    return Split.VALID if task_id <= 600 else Split.TRAIN


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _entry_point(code: str, first_assert: str) -> str:
    """The function of the reference that the first assert calls: no field names it.

    "" for a broken reference, whose fault is found as in every format. Raises RowRefused.
    """
    try:
        defined = defined_functions(parse(code))
    except SyntaxError:
        return ""
    try:
        entry = called_function(first_assert, defined)
    except SyntaxError as error:
        raise RowRefused(("test_list.0", f"does not parse ({error.msg})")) from None
    if not entry:
        raise RowRefused(("code", _NO_ENTRY_POINT))
    return entry


def read_mbpp(row: dict[str, Any]) -> Problem:
    """A row of either MBPP file as problem ``mbpp/ID``. Raises RowRefused."""
    faults: list[FieldFault] = []
    field = "text" if "text" in row else "prompt"
    text = row.get(field)
    if not isinstance(text, str) or not text.strip():
        faults.append((field, "the task's text is missing"))
    try:
        parsed = _MbppRow.model_validate(row)
    except ValidationError as error:
        raise RowRefused(*faults, *validation_faults(error)) from None
    code, asserts = _unix(parsed.code), [_unix(each).strip() for each in parsed.test_list]
    entry = ""
    try:
        entry = _entry_point(code, asserts[0])
    except RowRefused as refused:
        faults += refused.args
    if faults:
        raise RowRefused(*faults)
    setup = "\n".join([*parsed.test_imports, _unix(parsed.test_setup_code)]).strip()
    return Problem(
        id=f"mbpp/{parsed.task_id}",
        source="mbpp",
        split=split_of(parsed.task_id),
        difficulty=Difficulty.INTRODUCTORY,
        statement=_unix(str(text)).strip(),
        entry_point=entry,
        examples=asserts[0],
        tests=CodeSuite(entry_point=entry, asserts=tuple(asserts), setup=setup),
        solutions=(code,),
    )


def hub_rows(name: str) -> list[Row]:
    """Rows of a hub data set, all splits, in order of task id.

    Raises UserError when the package ``datasets`` is absent or cannot load ``name``.
    """
    hint = "Give the path of mbpp.jsonl or sanitized-mbpp.json."
    if importlib.util.find_spec("datasets") is None:
        absent = "there is no such file, and loading from the hub needs the package `datasets`"
        raise UserError(f"mbpp:{name}: {absent}.", hint=hint)
    datasets: Any = importlib.import_module("datasets")
    try:
        loaded = datasets.load_dataset(name)
    except Exception as error:  # the hub's client has no base class for its errors
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise UserError(f"mbpp:{name}: the hub did not give it ({reason}).", hint=hint) from error
    rows = [dict(row) for split in loaded.values() for row in split]
    rows.sort(key=lambda row: row.get("task_id", 0))
    return list(enumerate(rows, start=1))
