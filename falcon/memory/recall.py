"""Recall for a prompt: the text made of recalled experiences (the paper's appendix template).

Examples first (programs that passed: similar task, outcome, score, excerpt), then "Avoid these
errors" (programs that failed). The text stands before the task and stays within a token budget,
so the task itself is never cut. Training, benchmarks and inference all use :func:`recall_text`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Literal

from falcon.memory.experience import Experience
from falcon.memory.search import Hit, RecallQuery
from falcon.memory.text import first_line
from falcon.problems.problem import HELD_OUT
from falcon.prompts.fences import fence_around

if TYPE_CHECKING:
    from falcon.config import MemorySettings
    from falcon.memory.long_term import LongTermMemory

TASK_TOKENS = 200
CODE_TOKENS = 120
SIZES = ((TASK_TOKENS, CODE_TOKENS), (100, CODE_TOKENS), (50, CODE_TOKENS), (40, 60), (20, 30))
"""Tokens of task and of code in an example; the first pair that fits is used."""
ERROR_TASK_TOKENS = 30
ERROR_LINE_CHARS = 100
ERROR_SHARE = 0.25
"""Share of the budget that errors get before examples are chosen."""

EXAMPLES = "Similar tasks solved earlier:"
ERRORS = "Avoid these errors:"

Count = Callable[[str], int]


def recalls_in(memory: MemorySettings, phase: Literal["train", "eval"]) -> bool:
    """Whether there is recall in this phase, wherever it enters."""
    return memory.top_k > 0 and memory.at in (phase, "both")


def clip(text: str, limit: int, count: Count) -> str:
    """The longest beginning of ``text``, cut at a blank, of at most ``limit`` tokens."""
    return _cut(text.strip(), re.compile(r"\s+"), limit, count, "...")


def excerpt(code: str, limit: int, count: Count) -> str:
    """The longest beginning of ``code`` in whole lines of at most ``limit`` tokens, or ""."""
    return _cut(code.strip("\n").rstrip(), re.compile(r"\n"), limit, count, "\n# ...")


def _cut(text: str, gap: re.Pattern[str], limit: int, count: Count, mark: str) -> str:
    if count(text) <= limit:
        return text
    ends = [match.start() for match in gap.finditer(text) if match.start()]
    # Bisection, since each count runs the tokenizer over the text. ends[:low] fit.
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high) // 2
        if count(text[: ends[middle]] + mark) <= limit:
            low = middle + 1
        else:
            high = middle
    return text[: ends[low - 1]] + mark if low else ""


def _example(hit: Hit, task_tokens: int, code_tokens: int, count: Count) -> str:
    e = hit.experience
    task, code = clip(e.task, task_tokens, count), excerpt(e.program, code_tokens, count)
    if not task or not code:
        return ""
    fence = fence_around(code)
    head = f"Task: {task}\nOutcome: {e.verdict.outcome.value}, score {e.score:.2f}"
    return f"{head}\n{fence}python\n{code}\n{fence}"


def _what_failed(experience: Experience) -> str:
    feedback = experience.feedback
    kind = feedback.error_type or "error"
    outcome = experience.verdict.outcome.value
    parts = [kind if kind == outcome else f"{outcome}, {kind}"]
    if feedback.error_line:
        parts.append(f" on line {feedback.error_line}")
    if message := first_line(feedback.error_message):
        parts.append(f": {message}")
    return "".join(parts)


def _error(hit: Hit, count: Count) -> str:
    e = hit.experience
    text = f"- {_what_failed(e)} (score {e.score:.2f})"
    lines = e.program.splitlines()
    if 0 < e.feedback.error_line <= len(lines):
        text += f"\n  in `{lines[e.feedback.error_line - 1].strip()[:ERROR_LINE_CHARS]}`"
    task = " ".join(clip(e.task, ERROR_TASK_TOKENS, count).split())
    return f"{text}\n  when asked: {task}" if task else text


def _render(examples: Sequence[str], errors: Sequence[str]) -> str:
    parts = [f"{EXAMPLES}\n\n" + "\n\n".join(examples)] if examples else []
    if errors:
        parts.append("\n".join([ERRORS, *errors]))
    return "\n\n".join(parts) + "\n\n" if parts else ""


def recall_block(hits: Sequence[Hit], *, token_budget: int, count_tokens: Count) -> str:
    """Text to put before the task, of at most ``token_budget`` tokens; "" when nothing fits.

    Best hits first. An example shrinks (SIZES) before it is left out; equal failures are listed
    once. Raises ValueError when a hit is of a held-out split.
    """
    for hit in hits:
        if hit.experience.split in HELD_OUT:
            raise ValueError(f"{hit.experience.problem_id} is held out and must not be recalled")
    ranked = sorted(hits, key=lambda hit: -hit.similarity)
    passed = [hit for hit in ranked if hit.experience.verdict.passed]
    failed = [hit for hit in ranked if not hit.experience.verdict.passed]
    examples: list[str] = []
    errors: list[str] = []

    def fits(more_examples: list[str], more_errors: list[str], budget: float) -> bool:
        return count_tokens(_render(more_examples, more_errors)) <= budget

    def add_errors(budget: float) -> None:
        for hit in failed:
            error = _error(hit, count_tokens)
            if error not in errors and fits(examples, [*errors, error], budget):
                errors.append(error)

    add_errors(token_budget * ERROR_SHARE if passed else token_budget)  # or examples take it all
    for hit in passed:
        for task_tokens, code_tokens in SIZES:
            example = _example(hit, task_tokens, code_tokens, count_tokens)
            new = example and example not in examples
            if new and fits([*examples, example], errors, token_budget):
                examples.append(example)
                break
    add_errors(token_budget)  # what the examples left
    return _render(examples, errors)


def recall_hits(
    memory: LongTermMemory,
    task: str,
    settings: MemorySettings,
    *,
    exclude: Collection[str],
    unseen: bool,
    passing: bool = False,
) -> list[Hit]:
    """The experiences that ``memory`` recalls for a task (eq. 6), best first; ``exclude``,
    ``unseen`` and ``passing`` as in :class:`RecallQuery`."""
    query = RecallQuery(
        k=settings.top_k,
        min_similarity=settings.min_similarity,
        exclude=exclude,
        min_score=settings.min_score,
        diversity=settings.diversity,
        unseen=unseen,
        passing=passing,
    )
    return memory.recall_many([task], query)[0]


def recall_text(
    memory: LongTermMemory,
    task: str,
    settings: MemorySettings,
    *,
    exclude: Collection[str],
    unseen: bool,
    count_tokens: Count,
) -> str:
    """The text that ``memory`` puts before a task under the settings (eq. 6), or "".

    Nothing of the problems in ``exclude``, and with ``unseen`` (an evaluation) nothing of the
    same statement under another name. The caller decides whether to recall (``memory.at``).
    """
    if settings.top_k == 0:
        return ""
    hits = recall_hits(memory, task, settings, exclude=exclude, unseen=unseen)
    return recall_block(hits, token_budget=settings.recall_tokens, count_tokens=count_tokens)
