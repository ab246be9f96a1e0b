"""The problem of adding two numbers, for prompts and answers."""

from __future__ import annotations

from falcon.problems import Problem


def make(**changes: object) -> Problem:
    row: dict[str, object] = {
        "id": "builtin/add",
        "source": "builtin",
        "split": "train",
        "difficulty": "introductory",
        "statement": "Write `add(a, b)`, the sum of two numbers.",
        "entry_point": "add",
        "tests": {
            "kind": "call",
            "entry_point": "add",
            "calls": [{"args": [1, 2], "expected": 3}],
        },
    }
    return Problem.model_validate(row | changes)
