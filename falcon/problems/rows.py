"""Rows: a file of JSON lines or one JSON array, plain or gzip, read whole.

Knows files and JSON only; what a row means is the loaders' business.
"""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any, NoReturn

from falcon.errors import UserError
from falcon.problems.fault import ProblemFault
from falcon.problems.formats import format_of

Row = tuple[int, dict[str, Any]]  # Row number (from 1) and the row


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _parse(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse_constant)


def _parse_line(text: str) -> Any:
    """One line. Infinity and NaN, which are not JSON, are read in EvalPlus's rows alone: its
    inputs hold them."""
    try:
        return _parse(text)
    except ValueError:
        if "Infinity" not in text and "NaN" not in text:
            raise
        row = json.loads(text)
        if isinstance(row, dict) and format_of(row) == "evalplus":
            return row
        raise


def why_not_json(error: Exception) -> str:
    """Why a text could not be read as JSON, in words."""
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON (column {error.colno}: {error.msg})"
    if isinstance(error, RecursionError):
        return "not JSON (nested too deeply)"
    return f"not JSON ({error})"


def read_text(path: Path, *, missing: str) -> str:
    """A file's text, unpacked if it is gzip. ``missing`` says how to get the file.

    Raises UserError when it is absent, unreadable, damaged gzip or not UTF-8.
    """
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":  # gzip by its first bytes, whatever the file's name
            raw = gzip.decompress(raw)
        return raw.decode("utf-8-sig")  # some editors put a byte order mark first
    except FileNotFoundError:
        raise UserError(f"{path} is not there.", hint=missing) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}).", hint=missing) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: damaged gzip file ({error}).", hint=missing) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).", hint=missing) from None


def read_rows(path: Path, *, missing: str) -> tuple[list[Row], list[ProblemFault]]:
    """All rows that are JSON objects, and a fault for each that is not.

    Raises UserError as :func:`read_text` does.
    """
    text = read_text(path, missing=missing)
    rows: list[Row] = []
    faults: list[ProblemFault] = []
    entries: list[tuple[int, Any]] = []
    if text.lstrip()[:1] == "[":
        try:
            entries = list(enumerate(_parse(text), start=1))
        except (ValueError, RecursionError) as error:
            return [], [ProblemFault(path, 0, "", why_not_json(error))]
    else:
        # Not splitlines: JSON strings may hold U+2028 and others that it takes for line ends.
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            try:
                entries.append((number, _parse_line(line)))
            except (ValueError, RecursionError) as error:
                faults.append(ProblemFault(path, number, "", why_not_json(error)))
    for number, entry in entries:
        if isinstance(entry, dict):
            rows.append((number, entry))
        else:
            faults.append(ProblemFault(path, number, "", "not a JSON object"))
    if not rows and not faults:
        faults.append(ProblemFault(path, 0, "", "the file holds no problems"))
    return rows, faults
