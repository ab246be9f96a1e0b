"""LeetCodeDataset (Xia et al. 2025): a source to train on, or a benchmark, by its file.

A program is a class ``Solution``; the row's ``prompt`` (imports and helpers) runs before it.
Tests on linked lists and trees make them by the prompt's helpers, and the program gets them as live
objects.
"""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from falcon.errors import RowRefused
from falcon.problems.problem import Difficulty, Problem, Split
from falcon.suite import CodeSuite

_LEVELS = {
    "Easy": Difficulty.INTRODUCTORY,
    "Medium": Difficulty.INTERVIEW,
    "Hard": Difficulty.COMPETITION,
}
# Names of the prompt that some tests use.
_NAMES = re.compile(r"\b(inf|nan|pi|list_node|tree_node|is_same_list|is_same_tree)\b")


class _LeetCodeRow(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    task_id: str = Field(min_length=1)
    difficulty: str
    problem_description: str = Field(min_length=1)
    starter_code: str = ""
    prompt: str
    completion: str = Field(min_length=1)
    entry_point: str = Field(pattern=r"^Solution\(\)\.\w+$")
    test: str = Field(min_length=1)


def _current_fields(row: dict[str, Any]) -> dict[str, Any]:
    """A row of version 0.2 and before, with the field names of later versions."""
    meta = row.get("meta")
    if not isinstance(meta, dict) or "problem_description" in row:
        return row
    return {
        **row,
        "difficulty": meta.get("difficulty", ""),
        "problem_description": row.get("query", ""),
        "starter_code": meta.get("lang_code") or "",
    }


def read_leetcode(row: dict[str, Any]) -> Problem:
    """A row as problem ``leetcode/NAME`` of the test split.

    Raises RowRefused and ValidationError.
    """
    parsed = _LeetCodeRow.model_validate(_current_fields(row))
    if parsed.difficulty not in _LEVELS:
        raise RowRefused(("difficulty", f"unknown difficulty {parsed.difficulty!r:.40}"))
    return Problem(
        id=f"leetcode/{parsed.task_id}",
        source="leetcode",
        split=Split.TEST,
        difficulty=_LEVELS[parsed.difficulty],
        statement=parsed.problem_description.strip(),
        entry_point="Solution",
        starter=parsed.starter_code,
        tests=CodeSuite(
            entry_point=parsed.entry_point,
            check=parsed.test,
            # Tests run on the trusted side, which has the prompt only where they need a name of it.
            setup=parsed.prompt if _NAMES.search(parsed.test) else "",
            prelude=parsed.prompt,
        ),
        solutions=(parsed.completion,),
    )
