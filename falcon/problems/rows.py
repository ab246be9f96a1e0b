"""Rows: a file of JSON lines or one JSON array, plain or gzip, read whole.

Knows files and JSON only; what a row means is the loaders' business. Which benchmark a
row comes from is told by its keys, so that the wrong loader can say which is the right.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from falcon.errors import UserError
from falcon.problems.fault import ProblemFault

Row = tuple[int, dict[str, Any]]
"""Row number (from 1) and the row."""

_FORMS: tuple[tuple[str, frozenset[str]], ...] = (
    ("own", frozenset({"id", "statement", "tests"})),
    ("evalplus", frozenset({"task_id", "base_input", "plus_input"})),
    ("leetcode", frozenset({"task_id", "problem_description", "completion", "test"})),
    ("leetcode", frozenset({"task_id", "query", "completion", "test", "meta"})),
    ("humaneval", frozenset({"task_id", "prompt", "canonical_solution", "test"})),
    ("mbpp", frozenset({"task_id", "text", "code", "test_list"})),
    ("sanitized", frozenset({"task_id", "prompt", "code", "test_list"})),
    ("apps", frozenset({"question", "input_output"})),
    ("apps", frozenset({"description", "private_tests"})),
    ("codal", frozenset({"instruction", "preference"})),
)

_ADVICE = {
    "own": "this looks like FALCON's own form; use jsonl:PATH",
    "humaneval": "this looks like HumanEval; use humaneval:PATH",
    "mbpp": "this looks like MBPP; use mbpp:PATH",
    "sanitized": "this looks like sanitized MBPP; use mbpp:PATH",
    "evalplus": "this looks like EvalPlus; use evalplus:PATH",
    "leetcode": "this looks like LeetCodeDataset; use leetcode:PATH",
    "apps": "this looks like APPS; use apps:PATH",
    "codal": "this looks like CODAL-Bench, which has no tests; use `falcon codal PATH`",
}


def form_of(row: Mapping[str, Any]) -> str:
    """The format a row's keys speak of: a key of the table above, or ""."""
    return next((name for name, keys in _FORMS if keys <= row.keys()), "")


def looks_like(row: Mapping[str, Any]) -> str:
    """Which format a row is of, in words, and how such a file is named."""
    return _ADVICE[form_of(row)]


def misplaced(file: Path, form: str, *wanted: str) -> list[ProblemFault]:
    """One fault for the whole file when its rows are plainly of another format."""
    if not form or form in wanted:
        return []
    return [ProblemFault(file, 0, "", _ADVICE[form])]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _parse(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse_constant)


def _parse_row(text: str) -> Any:
    """One line. Infinity and NaN, which are not JSON, are read in EvalPlus's rows alone: its
    inputs hold them."""
    try:
        return _parse(text)
    except ValueError:
        if "Infinity" not in text and "NaN" not in text:
            raise
        row = json.loads(text)
        if isinstance(row, dict) and form_of(row) == "evalplus":
            return row
        raise


def why_not_json(fault: Exception) -> str:
    """What stopped a text from being read as JSON, in words."""
    if isinstance(fault, json.JSONDecodeError):
        return f"not JSON (column {fault.colno}: {fault.msg})"
    if isinstance(fault, RecursionError):
        return "not JSON (nested too deeply)"
    return f"not JSON ({fault})"


def read_text(path: Path, *, missing: str) -> str:
    """A file's text, unpacked if it is gzip. ``missing`` says how to get the file.

    Raises UserError when it is absent, unreadable, damaged gzip or not UTF-8.
    """
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        return raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} is not there.", hint=missing) from None
    except UnicodeDecodeError as fault:
        raise UserError(f"{path}: not UTF-8 text (byte {fault.start}).", hint=missing) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise UserError(f"{path}: damaged gzip file ({fault}).", hint=missing) from None
    except OSError as fault:
        raise UserError(f"{path} cannot be read ({fault.strerror}).", hint=missing) from None


def read_rows(path: Path, *, missing: str) -> tuple[list[Row], list[ProblemFault]]:
    """All rows that are JSON objects, and a fault for each that is not.

    Raises UserError as :func:`read_text` does.
    """
    text = read_text(path, missing=missing)
    rows: list[Row] = []
    faults: list[ProblemFault] = []
    if text.lstrip()[:1] == "[":
        try:
            entries = list(enumerate(_parse(text), start=1))
        except (ValueError, RecursionError) as fault:
            return [], [ProblemFault(path, 0, "", why_not_json(fault))]
    else:
        entries = []
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            try:
                entries.append((number, _parse_row(line)))
            except (ValueError, RecursionError) as fault:
                faults.append(ProblemFault(path, number, "", why_not_json(fault)))
    for number, entry in entries:
        if isinstance(entry, dict):
            rows.append((number, entry))
        else:
            faults.append(ProblemFault(path, number, "", "not a JSON object"))
    if not rows and not faults:
        faults.append(ProblemFault(path, 0, "", "the file holds no problems"))
    return rows, faults
