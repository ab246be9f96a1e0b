"""The protocol of generators: token ids of prompts in, completions out.

:mod:`falcon.generation.local` writes with a policy of this process,
:mod:`falcon.generation.server` with a model elsewhere. What a generator keeps is
tested by one suite for all of them (``tests/generation/generator_suite.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from falcon.errors import UserError
from falcon.generation.completion import META_WEIGHTS, Completion, Draws, Weights

if TYPE_CHECKING:
    from falcon.policy.policy import Policy
    from falcon.prompts.encode import PromptEncoder
    from falcon.prompts.forms import Form


def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Listener:
    """What is told while completions are written. Both are called in the caller's thread or in
    one of the generator's, one call at a time.

    ``on_tokens`` gets the number of tokens drawn since its last call, ``on_completion`` the
    places of the prompt and of the sample, and the completion, as soon as it has ended.
    """

    on_tokens: Callable[[int], None] = _nothing
    on_completion: Callable[[int, int, Completion], None] = _nothing


SILENT = Listener()


class Generator(Protocol):
    """Writes completions of prompts."""

    @property
    def prompts(self) -> PromptEncoder:
        """How problems are put to the model that writes."""
        ...

    @property
    def policy(self) -> Policy | None:
        """The policy of this process whose weights write; None where there is none here."""
        ...

    def ask(self, form: Form) -> None:
        """From now on problems are put to the model in this form."""
        ...

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        draws: Draws,
        *,
        weights: Weights = META_WEIGHTS,
        stops: Sequence[tuple[str, ...]] = (),
        listener: Listener = SILENT,
    ) -> list[list[Completion]]:
        """``draws.samples`` completions for each prompt (token ids), in order.

        ``stops`` are texts that end a completion, one tuple a prompt, in place of
        ``sampling.stop``. Raises UserError where the model cannot write: logits that are not
        finite, a server that is gone.
        """
        ...


def policy_here(generator: Generator) -> Policy:
    """The policy of this process. Raises UserError where a server has the only one."""
    if generator.policy is None:
        raise UserError(
            "memory.into: weights: a model behind a server cannot adapt to what is recalled.",
            hint="Set memory.into: prompt or memory.at: off, or empty policy.server.",
        )
    return generator.policy
