"""CODAL-Bench: instructions by coding preference, answered in words and code, without tests.

Reads the columns of the hub's set (``instruction``, ``preference``, and one
``<model>_response`` for each model that answered it) from JSON Lines, a JSON array or
Parquet. An instruction is no Problem: nothing can be run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from falcon.errors import UserError
from falcon.problems.fault import SHOWN, ProblemFault
from falcon.problems.formats import format_of, looks_like
from falcon.problems.rows import Row, read_rows

OWN = Path(__file__).parent / "codal_style.jsonl"
"""A small set of our own in the same format; its reference model is called ``reference``."""
HOW = (
    "Save the set as JSON Lines or Parquet with the columns instruction, preference and "
    "<model>_response; `codal-style` names the small set that comes along."
)
PREFERENCES = ("instruction-following", "readability", "complexity", "style", "explanation")
# By the letters alone: "Coding Style" and "coding-style" are the same.
_NAMES = {
    "instructionfollowing": "instruction-following",
    "readability": "readability",
    "codereadability": "readability",
    "complexity": "complexity",
    "codecomplexity": "complexity",
    "complexityandefficiency": "complexity",
    "codecomplexityandefficiency": "complexity",
    "style": "style",
    "codingstyle": "style",
    "codestyle": "style",
    "explanation": "explanation",
    "codeexplanation": "explanation",
}
_RESPONSE = "_response"


@dataclass(frozen=True)
class Instruction:
    """One row. ``references``: responses by the name of the model that gave them."""

    id: str
    preference: str
    text: str
    references: Mapping[str, str] = field(default_factory=dict)


def load_codal(source: str) -> list[Instruction]:
    """The instructions of ``codal-style`` or of a file, in its order.

    Raises UserError that lists what is wrong, by file, row and field.
    """
    path = OWN if source == "codal-style" else Path(source.removeprefix("codal:"))
    rows, faults = (
        _parquet_rows(path) if path.suffix == ".parquet" else read_rows(path, missing=HOW)
    )
    instructions = []
    for number, row in rows:
        if format_of(row) not in ("", "codal"):
            faults.append(ProblemFault(path, number, "", looks_like(row)))
            continue
        wrong = _wrong(path, number, row)
        faults += wrong
        if not wrong:
            instructions.append(_instruction(number, row))
    if faults:
        shown = "; ".join(str(fault) for fault in faults[:SHOWN])
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise UserError(f"{shown}{more}.", hint=HOW)
    return instructions


def _parquet_rows(path: Path) -> tuple[list[Row], list[ProblemFault]]:
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"{path} is not there.", hint=HOW) from None
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise UserError(f"{path}: not a Parquet file ({error}).", hint=HOW) from None
    rows: list[Row] = [
        (number, {str(key): value for key, value in row.items()})
        for number, row in enumerate(frame.to_dict("records"), start=1)
    ]
    return rows, [] if rows else [ProblemFault(path, 0, "", "the file holds no instructions")]


def _preference(value: Any) -> str:
    return _NAMES.get("".join(c for c in str(value).lower() if c.isalpha()), "")


def _wrong(path: Path, number: int, row: Mapping[str, Any]) -> list[ProblemFault]:
    faults = []
    text = row.get("instruction")
    if not isinstance(text, str) or not text.strip():
        faults.append(ProblemFault(path, number, "instruction", "missing or empty"))
    value = row.get("preference")
    if not _preference(value):
        message = f"{value!r} is none of {', '.join(PREFERENCES)}"
        faults.append(ProblemFault(path, number, "preference", message))
    return faults


def _instruction(number: int, row: Mapping[str, Any]) -> Instruction:
    references = {
        key.removesuffix(_RESPONSE): value
        for key, value in row.items()
        if key.endswith(_RESPONSE) and isinstance(value, str) and value.strip()
    }
    return Instruction(
        str(row.get("id") or f"codal/{number}"),
        _preference(row["preference"]),
        str(row["instruction"]),
        references,
    )
