"""Prompts and answer extraction: from a Problem to text, from a completion to a program.

One builder for rollout, training and benchmarks, so that what is trained is what is
measured. :data:`VERSION` is recorded with every score and changes with any text here.
Recalled memories go before the task; the task itself is never cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from falcon.errors import UserError

if TYPE_CHECKING:
    from falcon.problems.problem import Problem

VERSION = "chat-fence-1"

FENCE = "```"
STOP = ("\n" + FENCE,)
"""Ends a chat answer: the fence that closes the code block the prompt has opened."""


@dataclass(frozen=True)
class Extraction:
    """The program of a completion and where it begins in it.

    ``start`` is the completion's character at which the program's character 0 stands. It is
    negative when code from the prompt (imports, helpers) was put before what was written.
    """

    program: str
    start: int


def task_text(problem: Problem) -> str:
    """What the user asks: statement, starter code or visible examples, and the form wanted."""
    if problem.uses_stdin:
        return (
            f"{problem.statement.strip()}\n\n"
            "Write a Python program that reads from standard input and prints the answer."
        )
    if problem.starter:
        starter = f"Complete this function:\n{FENCE}python\n{problem.starter.rstrip()}\n{FENCE}"
        same = problem.statement.strip() in problem.starter
        return starter if same else f"{problem.statement.strip()}\n\n{starter}"
    text = f"{problem.statement.strip()}\n\nWrite a Python function"
    text += f" named `{problem.entry_point}`." if problem.entry_point else "."
    if problem.examples:
        text += f" It must pass:\n{FENCE}python\n{problem.examples.strip()}\n{FENCE}"
    return text


def render(tokenizer: Any, problem: Problem, recalled: str = "") -> str:
    """The whole prompt as text. Chat models get their template and an opened code block."""
    body = f"{recalled.rstrip()}\n\n{task_text(problem)}" if recalled else task_text(problem)
    if getattr(tokenizer, "chat_template", None):
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": body}], tokenize=False, add_generation_prompt=True
        )
        return f"{text}{FENCE}python\n"
    form = "Use Standard Input format" if problem.uses_stdin else "Use Call-Based format"
    return f"\nQUESTION:\n{body}\n{form}\nANSWER:\n"


def encode(tokenizer: Any, problem: Problem, recalled: str, max_tokens: int) -> list[int]:
    """Token ids of the prompt; recalled text is dropped when it does not fit.

    Raises UserError when the task alone is longer than ``max_tokens``.
    """
    for text in (recalled, "") if recalled else ("",):
        ids = list(
            tokenizer(render(tokenizer, problem, text), add_special_tokens=False)["input_ids"]
        )
        if len(ids) <= max_tokens:
            return ids
    raise UserError(
        f"{problem.id}: its prompt has {len(ids)} tokens, policy.max_prompt_tokens is {max_tokens}.",
        hint="Raise the setting or leave the problem out.",
    )


def fits(tokenizer: Any, problem: Problem, max_tokens: int) -> bool:
    """Whether the task alone fits into a prompt."""
    return (
        len(tokenizer(render(tokenizer, problem), add_special_tokens=False)["input_ids"])
        <= max_tokens
    )


def answer(program: str) -> str:
    """A reference program as the completion the prompt asks for (the target of eq. 2)."""
    return f"{program.strip()}\n{FENCE}"


_OPEN = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[ \t]*\r?\n", re.MULTILINE)
_CLOSE = re.compile(r"^[ \t]*```", re.MULTILINE)


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
    """Cut the program out of a completion: the block that defines the entry point, or the first.

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
