"""Generation: n completions of each prompt, under the meta weights or each task's own.

A prompt is read once for all its samples; rows that end leave the batch; keys and values
grow in place. A sample depends on its own random numbers only, not on its neighbours
(up to the rounding of the batch size). No beam search and no logits processors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from falcon.errors import UserError
from falcon.generation.completion import META_WEIGHTS, Completion, Draws, End, Sampling, Weights
from falcon.generation.generator import SILENT, Listener
from falcon.policy.adapter import Pairs, cast
from falcon.policy.nucleus import draw

if TYPE_CHECKING:
    from falcon.policy.policy import DecodingState, Policy
    from falcon.prompts.encode import PromptEncoder

_TAIL = 12
"""The last tokens of a row, in whose text a stop is looked for after each step."""


@dataclass
class _Row:
    prompt: int
    stop: tuple[str, ...]
    uniforms: np.ndarray[Any, np.dtype[np.float32]]  # [max_new_tokens], one a token
    ids: list[int] = field(default_factory=list)
    end: End = "length"
    end_id: int | None = None


def _uniforms(draws: Draws, prompt: int, sample: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    # Philox is counter-based: the key alone fixes a sample's numbers, so neither the batch nor
    # the other samples change them. The factor keeps streams apart up to 100,003 samples.
    key = [draws.seed & (2**64 - 1), draws.stream(prompt) * 100_003 + sample]
    generator = np.random.Generator(np.random.Philox(key=key))
    return generator.random(draws.sampling.max_new_tokens, dtype=np.float32)


class LocalGenerator:
    """Writes with a policy of this process."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    @property
    def prompts(self) -> PromptEncoder:
        """How problems are put to the policy."""
        return self.policy.prompts

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
        ``sampling.stop``. Raises UserError when the logits are not finite.
        """
        policy, samples, sampling = self.policy, draws.samples, draws.sampling
        # Prompts of like length share a batch, so that little of it is padding.
        order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
        width = max(1, sampling.batch_size // samples)
        tasks = weights.tasks or range(len(prompts))
        results: list[list[Completion]] = [[] for _ in prompts]
        with policy.gathered(), torch.inference_mode(), active_pairs(policy, weights) as pairs:
            for first in range(0, len(order), width):
                batch = order[first : first + width]
                rows = [
                    _Row(i, stops[i] if stops else sampling.stop, _uniforms(draws, i, sample))
                    for i in batch
                    for sample in range(samples)
                ]
                row_task = None
                if weights.fast:
                    row_task = torch.tensor([tasks[i] for i in batch], device=policy.device)
                state = policy.start([prompts[i] for i in batch], samples, pairs, row_task)
                _decode(policy, state, rows, sampling, listener.on_tokens)
                for row in rows:
                    text = policy.decode(row.ids)
                    completion = Completion(tuple(row.ids), text, row.end, row.end_id)
                    listener.on_completion(row.prompt, len(results[row.prompt]), completion)
                    results[row.prompt].append(completion)
        return results


@contextmanager
def active_pairs(policy: Policy, weights: Weights) -> Iterator[Pairs | None]:
    """The adapter pairs of ``weights`` in the backbone's precision; None for the bare backbone."""
    dtype = policy.compute_dtype
    if not weights.fast and not weights.use_adapter:
        yield None
        return
    pairs = cast(weights.fast or policy.bank.meta(), dtype)
    # One adapter for all rows can be added to the frozen weights once instead of at each token.
    fold = not weights.fast and dtype == torch.float32
    with policy.bank.fold(pairs) if fold else nullcontext():
        yield pairs


def _decode(
    policy: Policy,
    state: DecodingState,
    rows: list[_Row],
    sampling: Sampling,
    on_tokens: Callable[[int], None],
) -> None:
    """Draw tokens for all rows until each has ended or is as long as it may be."""
    active = rows
    for step in range(sampling.max_new_tokens):
        tokens = _draw_step(state.logits, active, sampling, step)  # [R], R active rows
        going = []  # positions among the active rows of those that have not ended
        for position, (row, token) in enumerate(zip(active, tokens.tolist(), strict=True)):
            if token in policy.end_ids:
                row.end, row.end_id = "end", token
                continue
            row.ids.append(token)
            if row.stop and _stops(policy, row.ids, row.stop):
                row.end = "stop"
                continue
            going.append(position)
        on_tokens(len(active))
        if not going or step + 1 == sampling.max_new_tokens:
            return
        if len(going) < len(active):
            active = [active[p] for p in going]
            index = torch.tensor(going, device=tokens.device)
            tokens = tokens[index]
            state.select(index)
        state.advance(tokens)


def _draw_step(
    logits: torch.Tensor, rows: list[_Row], sampling: Sampling, step: int
) -> torch.Tensor:
    """The next token of each row, [R, V] -> [R]."""
    _refuse_not_finite(logits)
    if sampling.temperature == 0:
        return logits.argmax(-1)
    uniforms = torch.from_numpy(np.array([row.uniforms[step] for row in rows]))  # [R]
    return draw(logits, uniforms.to(logits.device), sampling.temperature, sampling.top_p)


def _refuse_not_finite(logits: torch.Tensor) -> None:
    # The maximum of a row is NaN or +inf if any logit is, and cheaper to test than all.
    if not bool(torch.isfinite(logits.amax(-1)).all()):
        raise UserError(
            "The policy gives NaN or infinite logits.",
            hint="The last checkpoint is whole; lower train.learning_rate or train.meta.inner_lr.",
        )


def _stops(policy: Policy, ids: list[int], stop: tuple[str, ...]) -> bool:
    tail = policy.decode(ids[-_TAIL:])
    # A stop that ends before the last token would have ended the row earlier.
    before = len(policy.decode(ids[-_TAIL:-1]))
    return any(tail.find(s, max(0, before - len(s) + 1)) >= 0 for s in stop)
