"""Fields: what the parts of a Problem are called in the files they come from."""

from __future__ import annotations

_NAMES: dict[str, dict[str, str]] = {
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
    "evalplus": {
        "tests": "base_input",
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
_NAMES["sanitized"] = {
    **_NAMES["mbpp"],
    "tests.setup": "test_imports",
    "statement": "prompt",
}


def field_in(form: str, field: str) -> str:
    """The field of a file of ``form`` that holds ``field`` of a Problem (a dotted path).

    Positions are kept where both sides have them: the asserts of MBPP.
    """
    for part, name in _NAMES.get(form, {}).items():
        if field == part or field.startswith(f"{part}."):
            return name + field[len(part) :] if part == "tests.asserts" else name
    return field
