"""ProblemFault: one thing wrong with a problem file, named by file, row and field.

Readers collect faults instead of stopping at the first; this module turns a list of them into
the one line a user sees. What is a fault, the readers decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from falcon.errors import UserError

SHOWN = 20  # Faults named in one line; the rest are counted

FieldFault = tuple[str, str]  # Field and message. The reader of the file adds the file and the row


@dataclass(frozen=True, slots=True)
class ProblemFault:
    """What is wrong in ``file`` at ``row`` (line, or position in an array, from 1; 0: the
    whole file) and ``field`` (dotted path; "": the whole row)."""

    file: Path
    row: int
    field: str
    message: str

    @property
    def place(self) -> str:
        """Row and field in words, without the file."""
        parts = [f"row {self.row}" if self.row else "", f"`{self.field}`" if self.field else ""]
        return ", ".join(part for part in parts if part)

    def __str__(self) -> str:
        where = ", ".join(part for part in (str(self.file), self.place) if part)
        return f"{where}: {self.message}"


def refuse(path: Path, faults: Sequence[ProblemFault]) -> None:
    """Raise one UserError that names up to ``SHOWN`` faults and their number; none: return."""
    if not faults:
        return
    shown = [_within(path, fault) for fault in faults[:SHOWN]]
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    raise UserError(
        f"{path}: {count}: {'; '.join(shown)}{more}.",
        hint=f"`falcon problems check {path}` lists them all.",
    )


def _within(path: Path, fault: ProblemFault) -> str:
    # `path`, which the line begins with, is not repeated.
    file = fault.file.relative_to(path) if fault.file.is_relative_to(path) else fault.file
    parts = ["" if fault.file == path else str(file), fault.place]
    where = ", ".join(part for part in parts if part)
    return f"{where}: {fault.message}" if where else fault.message


_MESSAGES = {
    "missing": "the field is missing",
    "extra_forbidden": "there is no such field",
    "union_tag_not_found": "`kind` is missing",
}
_KINDS = frozenset({"call", "stdin", "code"})


def validation_faults(error: ValidationError) -> list[FieldFault]:
    """What pydantic found wrong with one row, in words for the author of the file."""
    faults = []
    for each in error.errors(include_url=False):
        kind, loc = each["type"], [str(part) for part in each["loc"]]
        # Pydantic puts the suite's kind into the path (tests.call.calls); the file has no such key.
        field = ".".join(
            p for i, p in enumerate(loc) if not (i and loc[i - 1] == "tests" and p in _KINDS)
        )
        message = _MESSAGES.get(kind, each["msg"].removeprefix("Value error, "))
        if kind in ("too_short", "string_too_short") and loc[0].startswith(("test", "base_input")):
            message = "no tests"
        elif kind == "too_short":
            message = "it is empty"
        elif kind == "value_error" and "either `asserts` or `check`" in message:
            # The validator refuses both and neither alike; neither means that there are no tests.
            given = each["input"] if isinstance(each["input"], dict) else {}
            message = message if given.get("asserts") or given.get("check") else "no tests"
        elif kind == "enum":
            message = f"unknown {loc[-1]} {each['input']!r:.60}; {message[0].lower()}{message[1:]}"
        faults.append((field, message))
    return faults
