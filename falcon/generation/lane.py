"""One lane: a thread that writes its share of the completions, with one batch that stays full.

A row that ends is replaced by a waiting one. What a row draws depends on its own random numbers
only, not on its neighbours (up to the rounding of the batch size). No beam search and no logits
processors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from falcon.errors import UserError
from falcon.generation.completion import Completion, Draws, End
from falcon.generation.generator import Listener
from falcon.policy.decoding import batch_of
from falcon.policy.decoding_batch import DecodingBatch, Prompt, Room
from falcon.policy.nucleus import nucleus, pick

if TYPE_CHECKING:
    from falcon.policy.pairs import Pairs
    from falcon.policy.policy import Policy

_TAIL = 12
"""The last tokens of a row, in whose text a stop is looked for."""


@dataclass(frozen=True)
class Portion:
    """A prompt and the numbers of the samples that one lane draws of it."""

    place: int  # among all prompts
    ids: Sequence[int]
    samples: Sequence[int]
    stop: tuple[str, ...] = ()
    task: int = 0
    read: bool = False  # the prompt has been read already, for earlier samples

    def first(self, samples: int) -> Portion:
        """The part with so many samples."""
        return replace(self, samples=self.samples[:samples])

    def after(self, samples: int) -> Portion:
        """What is left when they have begun."""
        return replace(self, samples=self.samples[samples:], read=True)


@dataclass
class _Row:
    portion: Portion
    sample: int
    uniforms: np.ndarray[Any, np.dtype[np.float32]]  # [max_new_tokens], one a token
    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)


class Lane:
    """Draws completions of ``portions``, at most ``rows`` at a time, under ``pairs``."""

    def __init__(self, policy: Policy, pairs: Pairs | None, draws: Draws, rows: int) -> None:
        self._policy = policy
        self._pairs = pairs
        self._draws = draws
        self._width = rows
        self._at: dict[int, _Row] = {}  # by slot
        self._may_end: dict[tuple[int, tuple[str, ...]], bool] = {}

    @torch.inference_mode()
    def run(
        self, portions: Sequence[Portion], listener: Listener, stopped: Callable[[], bool]
    ) -> None:
        """Write all, unless ``stopped`` says that another lane has failed.

        Raises UserError when logits are not finite.
        """
        waiting = deque(self._split(portions))
        width = min(self._width, sum(len(r.samples) for r in waiting))
        longest = max(len(portion.ids) for portion in waiting)
        room = Room(min(width, len(waiting)), width, longest)
        batch = batch_of(self._policy, self._pairs, room)
        tokens = torch.zeros(0, dtype=torch.long)  # [R], drawn last and not fed yet
        while (waiting or self._at) and not stopped():
            if added := self._next(waiting, batch):
                later = len(waiting[0].samples) if waiting and waiting[0].read else 0
                tokens = self._begin(batch, added, later, tokens, listener)
            if moved := batch.squeeze():
                for old, new in moved.items():
                    self._at[new] = self._at.pop(old)
                    tokens[new] = tokens[old]
            tokens = tokens[: batch.slots]
            if self._at:
                slots = sorted(self._at)
                logits = batch.advance(tokens)
                tokens[slots] = self._draw(batch, slots, logits[slots], listener)

    def _split(self, portions: Sequence[Portion]) -> list[Portion]:
        """Portions of at most as many samples as there are rows."""
        return [
            replace(r, samples=r.samples[first : first + self._width])
            for r in portions
            for first in range(0, len(r.samples), self._width)
        ]

    def _next(self, waiting: deque[Portion], batch: DecodingBatch) -> list[Portion]:
        """What there is room for now, taken from ``waiting``. All samples of a prompt need not
        begin at once. New prompts are read a few at once, so that passes are not tiny."""
        if batch.slots and not batch.refills:
            return []
        free = self._width - len(self._at)
        enough = self._width // 8 if self._at else 0
        added: list[Portion] = []
        while waiting and free:
            portion, samples = waiting[0], len(waiting[0].samples)
            left = sum(len(r.samples) for r in waiting)
            if not portion.read and free < min(enough, left):
                break
            if samples > free and not batch.refills:
                break
            added.append(portion.first(free))
            waiting.popleft()
            if samples > free:
                waiting.appendleft(portion.after(free))
            free -= len(added[-1].samples)
            enough = 0
        return added

    def _begin(
        self,
        batch: DecodingBatch,
        added: Sequence[Portion],
        later: int,
        tokens: torch.Tensor,
        listener: Listener,
    ) -> torch.Tensor:
        """Read the prompts of new rows and draw the first token of each. ``later``: samples of the
        last prompt that will begin later."""
        slots: list[int] = []
        logits: list[torch.Tensor] = []
        if added[0].read:
            slots, more = batch.more(len(added[0].samples))
            logits.append(more)
        if prompts := [Prompt(r.ids, len(r.samples), r.task) for r in added if not r.read]:
            places, first = batch.add(prompts, later)
            slots, logits = slots + places, [*logits, first]
        rows = [_Row(r, s, self._uniforms(r.place, s)) for r in added for s in r.samples]
        self._at.update(zip(slots, rows, strict=True))
        grown = torch.zeros(batch.slots, dtype=torch.long)
        grown[: len(tokens)] = tokens
        grown[slots] = self._draw(batch, slots, torch.cat(logits), listener)
        return grown

    def _uniforms(self, prompt: int, sample: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        # Philox is counter-based: the key alone fixes a sample's numbers, so neither the batch nor
        # the other samples change them. The factor keeps streams apart up to 100,003 samples.
        draws = self._draws
        key = [draws.seed & (2**64 - 1), draws.stream(prompt) * 100_003 + sample]
        generator = np.random.Generator(np.random.Philox(key=key))
        return generator.random(draws.sampling.max_new_tokens, dtype=np.float32)

    def _draw(
        self, batch: DecodingBatch, slots: Sequence[int], logits: torch.Tensor, listener: Listener
    ) -> torch.Tensor:
        """The next token of each row, [n, V] -> [n]; rows that end with it leave."""
        rows = [self._at[slot] for slot in slots]
        drawn = self._tokens(logits, rows)
        if self._draws.log_probs:
            log_p = torch.log_softmax(logits.float(), -1).gather(-1, drawn.unsqueeze(-1))
            for row, value in zip(rows, log_p.squeeze(-1).tolist(), strict=True):
                row.log_probs.append(value)
        listener.on_tokens(len(rows))
        drawn = drawn.cpu()
        for slot, row, token in zip(slots, rows, drawn.tolist(), strict=True):
            end = self._end(row, token)
            if end is not None:
                batch.end(slot)
                del self._at[slot]
                end_id = token if end == "end" else None
                text, ids = self._policy.decode(row.ids), tuple(row.ids)
                completion = Completion(ids, text, end, end_id, tuple(row.log_probs))
                listener.on_completion(row.portion.place, row.sample, completion)
        return drawn

    def _tokens(self, logits: torch.Tensor, rows: Sequence[_Row]) -> torch.Tensor:
        sampling = self._draws.sampling
        if sampling.temperature == 0:
            best, tokens = logits.max(-1)
            _refuse_not_finite(best)
            return tokens
        values, indices = nucleus(logits, sampling.temperature, sampling.top_p)
        _refuse_not_finite(values[:, 0])
        uniforms = np.array([row.uniforms[len(row.ids)] for row in rows])
        return pick(values, indices, torch.from_numpy(uniforms).to(logits.device))

    def _end(self, row: _Row, token: int) -> End | None:
        """Why the row ends with this token, which it keeps unless it is an end token."""
        if token in self._policy.end_ids:
            return "end"
        row.ids.append(token)
        if row.portion.stop and self._stops(row.ids, row.portion.stop):
            return "stop"
        return "length" if len(row.ids) == self._draws.sampling.max_new_tokens else None

    def _stops(self, ids: list[int], stop: tuple[str, ...]) -> bool:
        """Whether a stop ends within the last token."""
        key = (ids[-1], stop)
        if key not in self._may_end:  # most tokens have no character that a stop ends with
            text = self._policy.decode(ids[-1:])
            last = tuple(s[-1:] for s in stop)
            # Bytes of half a character, and blanks that a decoder drops, tell nothing.
            unknown = not text.strip() or "\ufffd" in text or any(not c.strip() for c in last)
            self._may_end[key] = unknown or any(c in text for c in last)
        if not self._may_end[key]:
            return False
        tail = self._policy.decode(ids[-_TAIL:])
        # A stop that ends before the last token would have ended the row earlier.
        before = len(self._policy.decode(ids[-_TAIL:-1]))
        return any(tail.find(s, max(0, before - len(s) + 1)) >= 0 for s in stop)


def _refuse_not_finite(best: torch.Tensor) -> None:
    # The greatest logit of a row is NaN or infinite if any is.
    if not bool(torch.isfinite(best).all()):
        raise UserError(
            "The policy gives NaN or infinite logits.",
            hint="The last checkpoint is whole; lower train.learning_rate or train.meta.inner_lr.",
        )
