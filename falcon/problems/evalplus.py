"""EvalPlus (Liu et al. 2023): HumanEval+ and MBPP+, from their files. Benchmarks only.

A row holds inputs and a solution; what the solution returns on them is what is right. The
first inputs are those of the original benchmark (``base_input``), the rest EvalPlus's own.
JSON has lost the types of some of MBPP+'s inputs: the table below gives them back, as the
``evalplus`` package does.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field

from falcon.errors import RowRefused, UserError
from falcon.problems.problem import Difficulty, Problem, Split
from falcon.suite import Call, CallSuite, Rule

# Entry points of MBPP+ whose results EvalPlus's check compares in a way of its own.
_RULES = {
    "are_equivalent": "evalplus:any",
    "sum_div": "evalplus:zero",
    "surface_Area": "evalplus:pyramid",
    "digit_distance_nums": "evalplus:digits",
    **dict.fromkeys(
        # The order of what is returned does not count.
        ("similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly",
         "larg_nnum", "intersection_array", "find_dissimilar", "Diff"),
        "evalplus:set",
    ),
    **dict.fromkeys(("check_str", "text_match_three", "text_starta_endb"), "evalplus:not-none"),
}  # fmt: skip


class _EvalPlusRow(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    task_id: str = Field(pattern=r"^(Mbpp|HumanEval)/\d+$")
    prompt: str = Field(min_length=1)
    entry_point: str = Field(min_length=1)
    canonical_solution: str = Field(min_length=1)
    base_input: list[list[Any]] = Field(min_length=1)
    plus_input: list[list[Any]] | dict[str, Any]
    atol: float | int = 0  # absolute tolerance of floats


_Restore = Callable[[list[Any]], list[Any]]
"""Gives the arguments of one call their types back: JSON turned tuples and sets into lists."""


def _deep(value: Any) -> Any:
    return tuple(_deep(v) for v in value) if isinstance(value, list) else value


def _tuples(values: Any) -> list[Any]:
    return [tuple(v) for v in values]


def _first(values: list[Any]) -> list[Any]:
    return [tuple(values[0]), *values[1:]]


# (numbers of MBPP's tasks, what restores their arguments)
_TYPES: tuple[tuple[tuple[int, ...], _Restore], ...] = (
    ((2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630,
      726, 740, 744, 809), _tuples),  # every argument is a tuple
    ((63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780),
     lambda args: [_tuples(a) for a in args]),  # every argument is a list of tuples
    ((75, 413, 444, 753), lambda args: [_tuples(args[0]), args[1]]),
    ((106, 750), lambda args: [args[0], tuple(args[1])]),
    ((115,), lambda args: [[set(v) if isinstance(v, list) and v else {} for v in args[0]]]),
    ((124,), lambda args: [float(args[0]), complex(args[1])]),
    ((250, 307, 405, 446, 617, 720, 763, 808), _first),  # only the first argument is a tuple
    ((259, 401, 445), lambda args: [tuple(_tuples(a)) for a in args]),
    ((278,), lambda args: [tuple(tuple(v) if isinstance(v, list) else v for v in args[0])]),
    ((722,), lambda args: [{k: tuple(v) for k, v in args[0].items()}, *args[1:]]),
    ((252,), lambda args: [complex(args[0])]),
    ((580, 615, 791), lambda args: list(_deep(args))),  # tuples at every depth
)  # fmt: skip
_BY_TASK = {task: restore for tasks, restore in _TYPES for task in tasks}


def _calls(task_id: str, inputs: list[list[Any]]) -> list[Call]:
    name, _, number = task_id.partition("/")
    restore = _BY_TASK.get(int(number)) if name == "Mbpp" else None
    return [Call(args=tuple(restore(args) if restore else args)) for args in inputs]


def _statement(prompt: str) -> tuple[str, str]:
    """Statement and visible example of an MBPP+ prompt, which is a doc string of both."""
    text = prompt.strip().removeprefix('"""').removesuffix('"""').strip()
    lines = text.split("\n")
    asserts = [line for line in lines if line.startswith("assert ")]
    return "\n".join(line for line in lines if line not in asserts).strip(), "\n".join(asserts)


def read_evalplus(row: dict[str, Any]) -> Problem:
    """A row as problem ``mbppplus/N`` or ``humanevalplus/N`` of the test split.

    Raises RowRefused and ValidationError.
    """
    parsed = _EvalPlusRow.model_validate(row)
    plus = parsed.plus_input if isinstance(parsed.plus_input, list) else []  # {}: none
    try:
        base = _calls(parsed.task_id, parsed.base_input)
        calls = (*base, *_calls(parsed.task_id, plus))
    except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        message = f"the inputs are not of the task's types ({type(error).__name__}: {error})"
        raise RowRefused(("base_input", message)) from None
    human = parsed.task_id.startswith("HumanEval/")
    rule = "evalplus:root" if human and parsed.entry_point == "find_zero" else "evalplus"
    if not human:
        rule = _RULES.get(parsed.entry_point, "evalplus")
    reference = parsed.prompt + parsed.canonical_solution
    statement, examples = (parsed.prompt, "") if human else _statement(parsed.prompt)
    source = "humanevalplus" if human else "mbppplus"
    return Problem(
        id=f"{source}/{parsed.task_id.rpartition('/')[2]}",
        source=source,
        split=Split.TEST,
        difficulty=Difficulty.INTRODUCTORY,
        statement=statement,
        entry_point=parsed.entry_point,
        starter=parsed.prompt if human else "",
        examples=examples,
        tests=CallSuite(
            entry_point=parsed.entry_point,
            calls=calls,
            atol=float(parsed.atol),
            rule=cast(Rule, rule),
            reference=reference,
        ),
        base_tests=len(base),
        solutions=(reference,),
    )


def require_path(path: str) -> Path:
    """The file of ``evalplus:PATH``. Raises UserError without one: it comes in no package."""
    if not path:
        raise UserError(
            "evalplus: no file is named.",
            hint="Get MbppPlus.jsonl or HumanEvalPlus.jsonl from the releases of"
            " github.com/evalplus and write evalplus:PATH.",
        )
    return Path(path).expanduser()
