"""Generation: n completions of each prompt, under the meta weights or each task's own.

A prompt is read once for all its samples; rows that end leave the batch; keys and values
grow in place. A sample depends on its own random numbers only, not on its neighbours
(up to the rounding of the batch size). No beam search and no logits processors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from falcon.errors import UserError
from falcon.policy.adapter import Pairs, cast
from falcon.policy.nucleus import draw

if TYPE_CHECKING:
    from falcon.policy.policy import Policy

_TAIL = 12


@dataclass(frozen=True)
class Sampling:
    """How to draw: temperature 0 is greedy. ``stop`` ends a completion after the text occurs."""

    temperature: float
    top_p: float
    max_new_tokens: int
    batch_size: int
    stop: tuple[str, ...] = ()

    def greedy(self) -> Sampling:
        """The same limits without chance."""
        return replace(self, temperature=0.0, top_p=1.0)


@dataclass(frozen=True)
class Completion:
    """Token ids with their text. ``end_id`` is the end token drawn after them, if one was.

    ``finished`` is false when the length limit cut the completion.
    """

    ids: tuple[int, ...]
    text: str
    finished: bool
    end_id: int | None = None

    @property
    def drawn(self) -> tuple[int, ...]:
        """Every token the policy drew, the end token included: what a gradient is taken on."""
        return self.ids if self.end_id is None else (*self.ids, self.end_id)


@dataclass
class _Row:
    prompt: int
    sample: int
    uniforms: np.ndarray[Any, np.dtype[np.float32]]
    ids: list[int]
    stop: tuple[str, ...]
    finished: bool = False
    end_id: int | None = None


def _uniforms(
    seed: int, prompt: int, sample: int, length: int
) -> np.ndarray[Any, np.dtype[np.float32]]:
    stream = np.random.Generator(
        np.random.Philox(key=[seed & (2**64 - 1), prompt * 100_003 + sample])
    )
    return stream.random(length, dtype=np.float32)


def generate(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    *,
    samples: int,
    sampling: Sampling,
    seed: int,
    fast: Pairs | None = None,
    tasks: Sequence[int] = (),
    numbers: Sequence[int] = (),
    stops: Sequence[tuple[str, ...]] = (),
    use_adapter: bool = True,
    on_tokens: Callable[[int], None] | None = None,
    on_done: Callable[[int], None] | None = None,
) -> list[list[Completion]]:
    """``samples`` completions for each prompt (token ids), in order.

    ``fast`` with ``tasks`` (one task index a prompt) generates under each task's adapted
    weights in one batch; otherwise the meta weights, or the bare backbone when
    ``use_adapter`` is false. ``numbers`` name the streams of random numbers, one a prompt, in place
    of 0, 1, 2, ...: a prompt of the same number and seed is answered alike whatever stands beside
    it. ``stops`` are texts that end a completion, one tuple a prompt, in
    place of ``sampling.stop``. ``on_tokens`` is told the number of tokens after each step,
    ``on_done`` the number of completions that ended with a batch. Raises UserError when the
    logits are not finite.
    """
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
    width = max(1, sampling.batch_size // samples)
    results: dict[int, list[Completion]] = {}
    with (
        policy.whole(),
        torch.inference_mode(),
        adapted(policy, fast, use_adapter=use_adapter) as pairs,
    ):
        for first in range(0, len(order), width):
            chosen = order[first : first + width]
            rows = [
                _Row(
                    i,
                    s,
                    _uniforms(seed, numbers[i] if numbers else i, s, sampling.max_new_tokens),
                    [],
                    stops[i] if stops else sampling.stop,
                )
                for i in chosen
                for s in range(samples)
            ]
            row_task = (
                torch.tensor([tasks[i] for i in chosen], device=policy.device) if fast else None
            )
            _decode(
                policy,
                [prompts[i] for i in chosen],
                rows,
                samples,
                sampling,
                pairs,
                row_task,
                on_tokens,
            )
            for row in rows:
                text = policy.decode(row.ids)
                results.setdefault(row.prompt, []).append(
                    Completion(tuple(row.ids), text, row.finished, row.end_id)
                )
            if on_done:
                on_done(len(rows))
    return [results[i] for i in range(len(prompts))]


@contextmanager
def adapted(
    policy: Policy, fast: Pairs | None, *, use_adapter: bool = True
) -> Iterator[Pairs | None]:
    """The weights to generate under, in the precision of the backbone: ``fast``, or the meta
    weights, or None for the bare backbone."""
    dtype = policy.compute_dtype
    if not use_adapter:
        yield None
        return
    pairs = cast(fast or policy.bank.meta(), dtype)
    with policy.bank.fold(pairs) if not fast and dtype == torch.float32 else nullcontext():
        yield pairs


def _decode(
    policy: Policy,
    prompts: list[Sequence[int]],
    rows: list[_Row],
    samples: int,
    sampling: Sampling,
    pairs: Pairs | None,
    row_task: torch.Tensor | None,
    on_tokens: Callable[[int], None] | None,
) -> None:
    state = policy.start(prompts, samples, pairs, row_task)
    active = list(rows)
    for step in range(sampling.max_new_tokens):
        _refuse_not_finite(state.logits)
        if sampling.temperature == 0:
            tokens = state.logits.argmax(-1)
        else:
            uniforms = torch.from_numpy(np.array([r.uniforms[step] for r in active])).to(
                state.logits.device
            )
            tokens = draw(state.logits, uniforms, sampling.temperature, sampling.top_p)
        keep = []
        for position, (row, token) in enumerate(zip(active, tokens.tolist(), strict=True)):
            if token in policy.end_ids:
                row.finished, row.end_id = True, token
                continue
            row.ids.append(token)
            if row.stop and _stops(policy, row.ids, row.stop):
                row.finished = True
                continue
            keep.append(position)
        if on_tokens:
            on_tokens(len(active))
        if not keep or step + 1 == sampling.max_new_tokens:
            return
        if len(keep) < len(active):
            active = [active[p] for p in keep]
            index = torch.tensor(keep, device=tokens.device)
            tokens = tokens[index]
            state.select(index)
        state.advance(tokens)


def _refuse_not_finite(logits: torch.Tensor) -> None:
    # One number a row: NaN and +inf come through the maximum.
    if not bool(torch.isfinite(logits.amax(-1)).all()):
        raise UserError(
            "The policy gives NaN or infinite logits.",
            hint="The last checkpoint is whole; lower train.learning_rate or train.meta.inner_lr.",
        )


def _stops(policy: Policy, ids: list[int], stop: tuple[str, ...]) -> bool:
    tail = policy.decode(ids[-_TAIL:])
    last = len(policy.decode(ids[-_TAIL:-1]))
    return any(tail.find(s, max(0, last - len(s) + 1)) >= 0 for s in stop)
