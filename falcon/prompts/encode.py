"""Prompts as token ids: the one place that asks whether a problem fits into a prompt.

Rollout, training, benchmarks and the model in service ask here, so that what is trained is what
is measured. The forms themselves are in :mod:`falcon.prompts.forms`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from falcon.errors import UserError
from falcon.prompts.forms import Form

if TYPE_CHECKING:
    from falcon.problems.problem import Problem


@dataclass(frozen=True)
class PromptEncoder:
    """Puts problems to a model in one form, in at most ``max_tokens`` token ids.

    The task is never cut. Recall text stands before it, and is left out where it does not fit.
    """

    tokenizer: Any
    form: Form
    max_tokens: int

    def text(self, problem: Problem, recall_text: str = "") -> str:
        """The prompt as text, however long it is."""
        return self.form.text(self.tokenizer, problem, recall_text)

    def fit(self, problem: Problem, recall_text: str = "") -> tuple[int, ...] | None:
        """Token ids [P] of the prompt; None where the task alone is too long."""
        for text in (recall_text, "") if recall_text else ("",):
            ids = self._ids(problem, text)
            if len(ids) <= self.max_tokens:
                return ids
        return None

    def count(self, text: str) -> int:
        """Tokens of a text, without special ones."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def fits(self, problem: Problem) -> bool:
        """Whether the task alone fits into a prompt."""
        return self.fit(problem) is not None

    def encode(self, problem: Problem, recall_text: str = "") -> tuple[int, ...]:
        """Token ids [P] of the prompt. Raises UserError where the task alone is too long."""
        ids = self.fit(problem, recall_text)
        if ids is None:
            raise UserError(
                f"{problem.id}: its prompt has {len(self._ids(problem))} tokens, "
                f"policy.max_prompt_tokens is {self.max_tokens}.",
                hint="Raise the setting or leave the problem out.",
            )
        return ids

    def _ids(self, problem: Problem, recall_text: str = "") -> tuple[int, ...]:
        tokenizer = self.tokenizer
        text = self.text(problem, recall_text)
        ids = tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
        first = tokenizer.bos_token_id if self.form.begins else None
        if first is None or ids[:1] == (first,):
            return ids
        # Some tokenizers have a token for the beginning but never use it; then neither do we.
        return (first, *ids) if tokenizer("a")["input_ids"][:1] == [first] else ids
