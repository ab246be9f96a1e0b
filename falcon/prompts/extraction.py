"""Extraction: from a completion to the program in it, and where the program begins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from falcon.prompts.fences import code_blocks
from falcon.prompts.tail import program_end

if TYPE_CHECKING:
    from falcon.problems.problem import Problem


@dataclass(frozen=True)
class Extraction:
    """The program of a completion and where it begins in it.

    ``start`` is the completion's character at which the program's character 0 stands. It is
    negative when code of the prompt (imports, helpers) was put before what the model wrote.
    """

    program: str
    start: int


def _preamble(problem: Problem) -> str:
    """Imports and helpers that a starter has before the function to complete."""
    if not problem.entry_point or not problem.starter:
        return ""
    definition = rf"^(?:async )?def {re.escape(problem.entry_point)}\b"
    match = re.search(definition, problem.starter, re.MULTILINE)
    return problem.starter[: match.start()] if match else ""


def extract(completion: str, problem: Problem) -> Extraction:
    """Cut the program out of an answer: the block that defines the entry point, else the first.

    An answer that only holds an indented body continues the starter. Examples and torn code
    behind a function are cut off (:mod:`falcon.prompts.tail`).
    """
    blocks = code_blocks(completion)
    name = problem.entry_point
    definition = re.compile(rf"^(?:async )?(?:def|class) {re.escape(name)}\b", re.MULTILINE)
    defining = [b for b in blocks if name and definition.search(completion[b[0] : b[1]])]
    start, end = defining[0] if defining else blocks[0]
    code = completion[start:end]
    # An indented first line cannot begin a program, but it can go on with the starter's function.
    body_alone = name and not defining and code[:1] in (" ", "\t")
    if body_alone and problem.starter:
        before = problem.starter if problem.starter.endswith("\n") else problem.starter + "\n"
    else:
        before = _preamble(problem)
    # `before` is no part of the completion: its characters lie in front of the code's.
    return _without_tail(before + code, start, len(before), problem)


def _without_tail(program: str, start: int, before: int, problem: Problem) -> Extraction:
    """The program without examples and torn code behind it.

    Its first ``before`` characters stand in front of the completion's character ``start``.
    """
    end = program_end(program, problem, before)
    return Extraction(program[:end], start - before)


def before_stop(completion: str, stops: tuple[str, ...]) -> str:
    """What precedes the first of ``stops``.

    The end of the last line belongs to it, also where a stop begins with it.
    """
    positions = ((completion.find(stop), stop) for stop in stops)
    ends = [at + stop.startswith("\n") for at, stop in positions if at >= 0]
    return completion[: min(ends, default=len(completion))]


def extract_before_stop(
    completion: str, problem: Problem, stops: tuple[str, ...], starter: str = ""
) -> Extraction:
    """What precedes the first of ``stops``, behind the ``starter`` that it continues."""
    program = starter + before_stop(completion, stops)
    return _without_tail(program, 0, len(starter), problem)
