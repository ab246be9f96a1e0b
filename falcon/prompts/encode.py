"""Prompts: the form in which a model is asked, and prompts as token ids.

One builder for rollout, training and benchmarks, so that what is trained is what is
measured. A tokenizer carries the form it was loaded with, as it carries its chat template;
the forms themselves are in :mod:`falcon.prompts.forms`. The task is never cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from falcon.errors import UserError
from falcon.prompts.extraction import Extraction, extract
from falcon.prompts.forms import FENCE, Chat, Form, choose, task_text

if TYPE_CHECKING:
    from falcon.problems.problem import Problem

__all__ = [
    "FENCE", "STOP", "VERSION", "Extraction", "Form", "adopt", "answer", "encode", "extract", "fits",
    "form_of", "render", "task_text",
]  # fmt: skip

VERSION = Chat.version
STOP = Chat.stop
_ATTRIBUTE = "falcon_form"


def adopt(tokenizer: Any, form: Form) -> None:
    """Ask this tokenizer's model in ``form`` from now on."""
    setattr(tokenizer, _ATTRIBUTE, form)


def form_of(tokenizer: Any) -> Form:
    """The form that was adopted, else that of ``policy.prompt: auto``."""
    form: Form | None = getattr(tokenizer, _ATTRIBUTE, None)
    return form or choose("auto", tokenizer, seq2seq=False)


def render(tokenizer: Any, problem: Problem, recalled: str = "") -> str:
    """The whole prompt as text. Recalled memories go before the task."""
    return form_of(tokenizer).text(tokenizer, problem, recalled)


def _ids(tokenizer: Any, problem: Problem, recalled: str = "") -> list[int]:
    form = form_of(tokenizer)
    text = form.text(tokenizer, problem, recalled)
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    first = tokenizer.bos_token_id if form.begins else None
    if first is None or ids[:1] == [first]:
        return ids
    # Some tokenizers have such a token and put it before nothing.
    return [first, *ids] if tokenizer("a")["input_ids"][:1] == [first] else ids


def encode(tokenizer: Any, problem: Problem, recalled: str, max_tokens: int) -> list[int]:
    """Token ids of the prompt; recalled text is dropped when it does not fit.

    Raises UserError when the task alone is longer than ``max_tokens``.
    """
    for text in (recalled, "") if recalled else ("",):
        ids = _ids(tokenizer, problem, text)
        if len(ids) <= max_tokens:
            return ids
    raise UserError(
        f"{problem.id}: its prompt has {len(ids)} tokens, policy.max_prompt_tokens is {max_tokens}.",
        hint="Raise the setting or leave the problem out.",
    )


def fits(tokenizer: Any, problem: Problem, max_tokens: int) -> bool:
    """Whether the task alone fits into a prompt."""
    return len(_ids(tokenizer, problem)) <= max_tokens


def answer(program: str) -> str:
    """A reference program as the answer of a chat model (the target of eq. 2)."""
    return f"{program.strip()}\n{FENCE}"
