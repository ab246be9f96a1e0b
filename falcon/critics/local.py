"""The local critic: a chat model on this machine, greedy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from falcon.config import CriticSettings, PolicySettings
from falcon.critics.answers import Answers
from falcon.critics.critic import Question, Usage
from falcon.errors import CriticFault, UserError
from falcon.prompts.forms import in_template

if TYPE_CHECKING:
    from falcon.policy.policy import Policy


class LocalCritic:
    """Asks a decoder-only chat model, which is loaded at the first question without an answer.

    Answers are stored in ``folder``. Raises UserError for a model that is absent or has no chat
    template.
    """

    def __init__(self, settings: CriticSettings, folder: Path) -> None:
        self.settings = settings
        self.name = f"model:{settings.model}"
        self.version = f"greedy-{settings.max_tokens}"
        self.usage = Usage()
        self._answers = Answers(folder / "answers.jsonl", f"{self.name}/{self.version}")
        self._policy: Policy | None = None

    def _loaded(self) -> Policy:
        if self._policy is None:
            from falcon.policy.policy import Policy  # torch is loaded only if it is needed

            self._policy = Policy.load(PolicySettings(model=self.settings.model))
            if not self._policy.chat:
                raise UserError(
                    f"{self.settings.model}: no chat template, so it cannot be a judge.",
                    hint="Set feedback.critic.model to a chat model.",
                )
        return self._policy

    def ask(self, questions: Sequence[Question]) -> list[str | CriticFault]:
        """Greedy answers; one that the length limit cut is a fault."""
        stored = {q: self._answers.find(q) for q in dict.fromkeys(questions)}
        new = [question for question, answer in stored.items() if answer is None]
        fresh = dict(zip(new, self._generate(new), strict=True)) if new else {}
        self.usage.reused += len(questions) - len(new)
        return [fresh[q] if q in fresh else stored[q] or "" for q in questions]

    def _generate(self, questions: list[Question]) -> list[str | CriticFault]:
        from falcon.generation.completion import Draws, Sampling, Weights
        from falcon.generation.local import LocalGenerator

        policy = self._loaded()
        prompts = [policy.encode(_prompt(policy, question)) for question in questions]
        # Temperature 0 is greedy, and without the adapter, so that training never moves the judge.
        sampling = Sampling(0.0, 1.0, self.settings.max_tokens, self.settings.batch_size)
        rows = LocalGenerator(policy).generate(
            prompts, Draws(sampling), weights=Weights(use_adapter=False)
        )
        answers: list[str | CriticFault] = []
        for question, prompt, (completion,) in zip(questions, prompts, rows, strict=True):
            self.usage.asked += 1
            self.usage.prompt_tokens += len(prompt)
            self.usage.completion_tokens += len(completion.drawn)
            if not completion.finished:
                self.usage.faults += 1
                answers.append(CriticFault(f"no end within {self.settings.max_tokens} tokens"))
                continue
            self._answers.keep(question, completion.text)
            answers.append(completion.text)
        return answers


def _as_text(policy: Policy, message: str) -> str:
    """The message without the tokenizer's own marks, such as the end of a turn: a program in it
    could else write the turns of others, and so the judge's."""
    for token in policy.tokenizer.added_tokens_decoder.values():
        if token.special:
            message = message.replace(token.content, f"{token.content[:1]} {token.content[1:]}")
    return message


def _prompt(policy: Policy, question: Question) -> str:
    system, user = (_as_text(policy, message) for message in question)
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": user})
    return in_template(policy.tokenizer, messages)
