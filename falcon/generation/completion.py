"""Completions: how to draw them, from which weights, and what comes out.

These records are those of every generator (:mod:`falcon.generation.generator`). No model is
loaded here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from falcon.config import BenchmarkSettings, SamplingSettings
    from falcon.policy.pairs import Pairs


@dataclass(frozen=True)
class Sampling:
    """How to draw: temperature 0 is greedy. ``stop`` ends a completion after the text occurs."""

    temperature: float
    top_p: float
    max_new_tokens: int
    batch_size: int
    stop: tuple[str, ...] = ()

    @classmethod
    def of(cls, s: SamplingSettings, stop: tuple[str, ...] = ()) -> Sampling:
        """The training-time sampling of the settings."""
        return cls(s.temperature, s.top_p, s.max_new_tokens, s.batch_size, stop)

    def greedy(self) -> Sampling:
        """The same limits without chance."""
        return replace(self, temperature=0.0, top_p=1.0)


@dataclass(frozen=True)
class Draws:
    """How many completions of each prompt to draw, how, and from which random numbers.

    ``streams`` numbers each prompt's random numbers in place of 0, 1, 2, ...: a prompt with the
    same stream and seed gets the same completions whatever prompts stand beside it.
    ``log_probs`` asks for those of the drawn tokens.
    """

    sampling: Sampling
    samples: int = 1
    seed: int = 0
    streams: Sequence[int] = ()
    log_probs: bool = False

    @classmethod
    def of(cls, b: BenchmarkSettings, samples: int, seed: int) -> Draws:
        """As in benchmarks and in service: a single sample is greedy."""
        sampling = Sampling(b.temperature, b.top_p, b.max_new_tokens, b.batch_size)
        return cls(sampling.greedy() if samples == 1 else sampling, samples, seed)

    def stream(self, prompt: int) -> int:
        """The number of a prompt's random numbers."""
        return self.streams[prompt] if self.streams else prompt


@dataclass(frozen=True)
class Weights:
    """The weights that write: ``fast``, stacked [N, ...], with task ``tasks[i]`` for prompt i.

    Without ``tasks`` prompt i belongs to task i. Without ``fast`` the meta weights write, or the
    bare backbone if ``use_adapter`` is false.
    """

    fast: Pairs | None = None
    tasks: Sequence[int] = ()
    use_adapter: bool = True


META_WEIGHTS = Weights()

End = Literal["end", "stop", "length"]
"""Why a completion ended: the model's own end token, a stop text, or the length limit."""


@dataclass(frozen=True)
class Completion:
    """Token ids [T] with their text, and why they end.

    ``end_id`` is the end token drawn after them, if one was. ``log_probs``, if asked for and
    known, has the log-probability of each token in :attr:`drawn` at temperature 1 without a
    nucleus. ``count`` is the length of ``ids`` where a server tells that alone: the ids are then
    those of the text, or absent.
    """

    ids: tuple[int, ...]
    text: str
    end: End
    end_id: int | None = None
    log_probs: tuple[float, ...] = ()
    count: int | None = None

    @property
    def tokens(self) -> int:
        """How many tokens were drawn before an end token."""
        return len(self.ids) if self.count is None else self.count

    @property
    def finished(self) -> bool:
        """Whether the model ended it: false where the length limit cut it."""
        return self.end != "length"

    @property
    def drawn(self) -> tuple[int, ...]:
        """Every token that was drawn, the end token included: what a gradient is taken on."""
        return self.ids if self.end_id is None else (*self.ids, self.end_id)
