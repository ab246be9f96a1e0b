"""Extraction: from a completion to the program in it, and where it begins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from falcon.problems.problem import Problem

_OPEN = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[ \t]*\r?\n", re.MULTILINE)
_CLOSE = re.compile(r"^[ \t]*```", re.MULTILINE)


@dataclass(frozen=True)
class Extraction:
    """The program of a completion and where it begins in it.

    ``start`` is the completion's character at which the program's character 0 stands. It is
    negative when code from the prompt (imports, helpers) was put before what was written.
    """

    program: str
    start: int


def _blocks(text: str) -> list[tuple[int, int]]:
    """Character ranges of the code blocks of an answer; what precedes a lone closing fence is one."""
    opened = _OPEN.search(text)
    closed = _CLOSE.search(text)
    if closed is None:
        return [(0, len(text))]
    own = opened is not None and (opened.group(1) or not text[: opened.start()].strip())
    if opened is None or closed.start() < opened.start() or not own:
        # The prompt had opened the block: the first fence closes it.
        return [(0, closed.start())]
    blocks = []
    position = 0
    while (opened := _OPEN.search(text, position)) is not None:
        end = _CLOSE.search(text, opened.end())
        stop = end.start() if end else len(text)
        blocks.append((opened.end(), stop))
        position = end.end() if end else len(text)
    return blocks


def _preamble(problem: Problem) -> str:
    """Imports and helpers that a starter has before the function to complete."""
    if not problem.entry_point or not problem.starter:
        return ""
    at = re.search(
        rf"^(?:async )?def {re.escape(problem.entry_point)}\b", problem.starter, re.MULTILINE
    )
    return problem.starter[: at.start()] if at else ""


def extract(completion: str, problem: Problem) -> Extraction:
    """Cut the program out of an answer: the block that defines the entry point, or the first.

    An answer that only holds an indented body is taken as the starter's continuation.
    """
    blocks = _blocks(completion)
    name = problem.entry_point
    defines = (
        re.compile(rf"^(?:async )?(?:def|class) {re.escape(name)}\b", re.MULTILINE)
        if name
        else None
    )
    chosen = next(
        (b for b in blocks if defines is not None and defines.search(completion[b[0] : b[1]])),
        blocks[0],
    )
    code = completion[chosen[0] : chosen[1]]
    if (
        defines is not None
        and not defines.search(code)
        and problem.starter
        and code[:1] in (" ", "\t")
    ):
        prefix = problem.starter if problem.starter.endswith("\n") else problem.starter + "\n"
    else:
        prefix = _preamble(problem)
    return Extraction(prefix + code, chosen[0] - len(prefix))


def continuation(completion: str, stops: tuple[str, ...], before: str = "") -> Extraction:
    """What precedes the first of ``stops``, put behind ``before``, the code it continues.

    The end of the last line belongs to the program, also where a stop begins with it.
    """
    found = ((completion.find(stop), stop) for stop in stops)
    ends = [at + stop.startswith("\n") for at, stop in found if at >= 0]
    return Extraction(before + completion[: min(ends, default=len(completion))], -len(before))
