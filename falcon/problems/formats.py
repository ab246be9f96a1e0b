"""Formats: which benchmark's files a row is from, and what they call the parts of a Problem.

A row's keys say its format, so that a file that was given to the wrong loader is refused with
the name of the right one. Nothing is read here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from falcon.problems.fault import ProblemFault

# The first format whose keys are all there wins: the more specific ones stand first.
_KEYS: tuple[tuple[str, frozenset[str]], ...] = (
    ("own", frozenset({"id", "statement", "tests"})),
    ("evalplus", frozenset({"task_id", "base_input", "plus_input"})),
    ("leetcode", frozenset({"task_id", "problem_description", "completion", "test"})),
    ("leetcode", frozenset({"task_id", "query", "completion", "test", "meta"})),  # up to 0.2
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
# A longer path stands before its beginning: "tests.asserts" before "tests".
_FIELDS: dict[str, dict[str, str]] = {
    "mbpp": {
        "tests.asserts": "test_list",
        "tests.setup": "test_setup_code",
        "tests": "test_list",
        "solutions": "code",
        "statement": "text",
        "id": "task_id",
    },
    "humaneval": {
        "tests": "test",
        "solutions": "canonical_solution",
        "statement": "prompt",
        "id": "task_id",
    },
    "apps": {
        "tests": "input_output",
        "solutions": "solutions",
        "statement": "question",
        "id": "problem_id",
    },
    "leetcode": {
        "tests.setup": "prompt",
        "tests.prelude": "prompt",
        "tests": "test",
        "solutions": "completion",
        "statement": "problem_description",
        "id": "task_id",
    },
}
_FIELDS["evalplus"] = {**_FIELDS["humaneval"], "tests": "base_input"}
_FIELDS["sanitized"] = {**_FIELDS["mbpp"], "tests.setup": "test_imports", "statement": "prompt"}


def format_of(row: Mapping[str, Any]) -> str:
    """The format that a row's keys show: a key of the tables above, or ""."""
    return next((name for name, keys in _KEYS if keys <= row.keys()), "")


def looks_like(row: Mapping[str, Any]) -> str:
    """Which format a row has, in words, and how to name such a file."""
    return _ADVICE[format_of(row)]


def wrong_format(file: Path, name: str, *allowed: str) -> list[ProblemFault]:
    """One fault for the whole file when its rows are clearly of a format that is not allowed."""
    return [ProblemFault(file, 0, "", _ADVICE[name])] if name and name not in allowed else []


def field_in(name: str, field: str) -> str:
    """The field of a file of format ``name`` that holds ``field`` of a Problem (a dotted path).

    Positions are kept where both sides have them: the asserts of MBPP.
    """
    for part, file_field in _FIELDS.get(name, {}).items():
        if field == part or field.startswith(f"{part}."):
            return file_field + field[len(part) :] if part == "tests.asserts" else file_field
    return field
