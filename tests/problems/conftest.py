"""Small problem files in the formats that are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from falcon.problems import Problem

Make = Callable[..., dict[str, Any]]


def own_row(name: str = "double", **changes: Any) -> dict[str, Any]:
    """One row of FALCON's own form: a function ``name`` that doubles a number."""
    row: dict[str, Any] = {
        "id": f"builtin/{name}",
        "source": "builtin",
        "split": "train",
        "difficulty": "introductory",
        "statement": f"Write `{name}(x)`, which gives twice the number of {name} apples.",
        "entry_point": name,
        "tests": {
            "kind": "call",
            "entry_point": name,
            "calls": [{"args": [2], "expected": 4}, {"args": [0], "expected": 0}],
        },
        "solutions": [f"def {name}(x):\n    return x * 2\n"],
    }
    return row | changes


def mbpp_row(task_id: int, **changes: Any) -> dict[str, Any]:
    """One row of the full MBPP file."""
    row: dict[str, Any] = {
        "text": f"Write a function to add {task_id}.",
        "code": f"def helper(x):\r\n  return x\r\ndef add(x):\r\n  return helper(x) + {task_id}",
        "task_id": task_id,
        "test_setup_code": "",
        "test_list": [f"assert set([add(1)]) == {{{task_id + 1}}}", f"assert add(0) == {task_id}"],
        "challenge_test_list": [],
    }
    return row | changes


def write_lines(path: Path, rows: list[Any]) -> Path:
    """JSON lines; text is written as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def make_row() -> Make:
    return own_row


@pytest.fixture
def make_mbpp() -> Make:
    return mbpp_row


@pytest.fixture
def write() -> Callable[[Path, list[Any]], Path]:
    return write_lines


@pytest.fixture
def make_problem() -> Callable[..., Problem]:
    return lambda *args, **changes: Problem.model_validate(own_row(*args, **changes))
