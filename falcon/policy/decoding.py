"""Rows that come and go, and which kind of batch suits a model (:func:`batch_of`).

Shapes: R slots, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from falcon.policy.attention import ATTENTION, cached
from falcon.policy.decoding_batch import DecodingBatch, Prompt, Room
from falcon.policy.fixed_rows import FixedRows
from falcon.policy.kv_cache import KeyValues
from falcon.policy.pairs import RowTasks, of_tasks, stack_size

if TYPE_CHECKING:
    from falcon.policy.pairs import Pairs
    from falcon.policy.policy import Policy

PASS_TOKENS = {"cpu": 2048}
"""Padded tokens of one pass over prompts; 32,768 elsewhere. On a CPU a token of a large pass takes
several times as long: activations leave the processor's caches."""


def batch_of(policy: Policy, pairs: Pairs | None, room: Room) -> DecodingBatch:
    """An empty batch of the kind that suits the model."""
    return Rows(policy, pairs, room) if can_refill(policy) else FixedRows(policy, pairs)


def can_refill(policy: Policy) -> bool:
    """Whether rows may come and go: every layer attends to all tokens, by our own function. It is
    tried once."""
    if policy.refills is None:
        policy.refills = _refills(policy)
    return policy.refills


def _refills(policy: Policy) -> bool:
    config = policy.model.config
    if policy.kind != "causal" or config._attn_implementation != ATTENTION or not policy.packs:
        return False
    cache = KeyValues(1, 1, 1)
    with torch.inference_mode(), policy.bank.use(None), cached(cache):
        cache.reading([0], [1])
        try:
            _forward(policy, torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 1).long())
        except (TypeError, AttributeError):  # no such argument, or layers without a number
            return False
    policy.token_bytes = cache.token_bytes
    return bool(cache.layers == config.num_hidden_layers)


def _forward(policy: Policy, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Logits [*, n, V] of new tokens whose attention is that of the cache in use."""
    out = policy.model(
        input_ids=ids.to(policy.device),
        # Four dimensions: the library leaves such a mask alone, and our attention reads none.
        attention_mask=torch.ones(1, 1, 1, 1, device=policy.device),
        position_ids=positions.to(policy.device),
        use_cache=False,
    )
    logits: torch.Tensor = out.logits
    return logits


class Rows(DecodingBatch):
    """Rows that come and go."""

    def __init__(self, policy: Policy, pairs: Pairs | None, room: Room) -> None:
        super().__init__(policy, pairs)
        self._cache = KeyValues(room.prompts, room.rows, room.prompt_tokens)
        self._prompt: list[int] = []  # the prompt's slot of each row
        self._live: list[bool] = []
        self._lengths = torch.zeros(room.rows, dtype=torch.long)  # tokens that each row has fed
        self._alive: list[int] = []  # live rows of each prompt's slot
        self._starts = torch.zeros(room.prompts, dtype=torch.long)  # tokens of each prompt
        self._task: list[int] = []  # of each prompt's slot
        self._later = 0  # rows to come of the prompt that was read last, counted as live
        self._last = 0  # its slot
        self._last_logits = torch.empty(0)  # [1, V]
        self._step: Any = None  # made anew when rows came or went
        self._rows: RowTasks | None = None
        self._stack: list[int] = []  # tasks of the pairs that steps use
        self._stack_pairs = pairs

    @property
    def slots(self) -> int:
        """Slots in use or left empty by rows that ended: R."""
        return len(self._prompt)

    @property
    def refills(self) -> bool:
        """Rows may be added at any time."""
        return True

    def add(self, prompts: Sequence[Prompt], later: int = 0) -> tuple[list[int], torch.Tensor]:
        """Read prompts. The slots of the new rows, in order, and their next logits [new, V]."""
        places = [self._place(prompt) for prompt in prompts]
        logits = []
        limit = PASS_TOKENS.get(self.policy.device.type, 32768)
        for part in groups([len(prompt.ids) for prompt in prompts], limit):
            logits.append(self._read(prompts[part], places[part]))
        slots = []
        for prompt, place in zip(prompts, places, strict=True):
            slots += [self._slot(place) for _ in range(prompt.rows)]
        self._step = None
        self._last, self._last_logits, self._later = places[-1], logits[-1][-1:], later
        self._alive[self._last] += later
        repeats = torch.tensor([p.rows for p in prompts], device=logits[0].device)
        return slots, torch.cat(logits).repeat_interleave(repeats, dim=0)

    def more(self, rows: int) -> tuple[list[int], torch.Tensor]:
        """Add rows of the prompt that was read last, without reading it again."""
        if rows > self._later:
            raise ValueError(f"{rows} more rows of a prompt that is kept for {self._later}")
        self._later -= rows
        self._step = None
        return [self._slot(self._last) for _ in range(rows)], self._last_logits.expand(rows, -1)

    def _place(self, prompt: Prompt) -> int:
        """A free slot for a prompt."""
        free = [place for place, alive in enumerate(self._alive) if not alive]
        if free:
            place = free[0]
            self._alive[place], self._task[place] = prompt.rows, prompt.task
        else:
            place = len(self._alive)
            self._alive.append(prompt.rows)
            self._task.append(prompt.task)
        self._starts[place] = len(prompt.ids)
        return place

    def _slot(self, place: int) -> int:
        """A free slot for a row of the prompt in ``place``."""
        if False in self._live:
            slot = self._live.index(False)
            self._live[slot], self._prompt[slot] = True, place
        else:
            slot = len(self._live)
            self._live.append(True)
            self._prompt.append(place)
        self._lengths[slot] = 0
        return slot

    def _read(self, prompts: Sequence[Prompt], places: Sequence[int]) -> torch.Tensor:
        """One pass over prompts; the logits after each, [P, V]."""
        policy = self.policy
        lengths = [len(prompt.ids) for prompt in prompts]
        ids, _ = policy.pad([prompt.ids for prompt in prompts], left=False)
        positions = torch.arange(ids.shape[1]).expand(len(prompts), -1)
        ends = [n - 1 + i * ids.shape[1] for i, n in enumerate(lengths)]
        self._cache.reading(places, lengths)
        tasks = self.tasks([prompt.task for prompt in prompts])
        with policy.bank.use(self.pairs, tasks), cached(self._cache), policy.head.at(ends):
            return _forward(policy, ids, positions)[0]

    def end(self, slot: int) -> None:
        """The row in this slot has ended. The slot stays, until it is filled or squeezed out."""
        self._live[slot] = False
        self._alive[self._prompt[slot]] -= 1

    def squeeze(self) -> dict[int, int]:
        """Give up empty slots, where that saves work. Old slot -> new slot of rows that moved."""
        moved: dict[int, int] = {}
        live = sum(self._live)
        if _size(live) >= self.slots:
            return moved
        size = _size(live)
        holes = [slot for slot in range(size) if not self._live[slot]]
        for slot in range(size, self.slots):
            if self._live[slot]:
                hole = holes.pop(0)
                self._cache.move_rows(slot, hole, int(self._lengths[slot]))
                self._lengths[hole] = self._lengths[slot]
                self._prompt[hole], self._live[hole] = self._prompt[slot], True
                moved[slot] = hole
        del self._prompt[size:], self._live[size:]
        self._squeeze_prompts()
        self._step = None
        return moved

    def _squeeze_prompts(self) -> None:
        """Let the prompts that still have rows stand in the first slots."""
        used = [place for place, alive in enumerate(self._alive) if alive]
        for new, old in enumerate(used):
            if new != old:
                self._cache.move_prompt(old, new)
                self._alive[new], self._task[new] = self._alive[old], self._task[old]
                self._starts[new] = self._starts[old]
        del self._alive[len(used) :], self._task[len(used) :]
        place = {old: new for new, old in enumerate(used)}
        self._last = place.get(self._last, 0)
        # A row that ended may belong to a prompt that is gone: what it computes means nothing.
        self._prompt = [place.get(old, 0) for old in self._prompt]

    def advance(self, tokens: torch.Tensor) -> torch.Tensor:
        """Feed one token a slot, [R], and compute the next logits [R, V]."""
        policy, rows = self.policy, self.slots
        lengths = self._lengths[:rows]
        if self._step is None:
            self._step = self._cache.step(self._prompt, lengths, len(self._alive), policy.device)
            self._rows = self._tasks_left([self._task[place] for place in self._prompt])
        else:
            self._step = self._step.advanced(lengths)
        self._cache.writing(self._step)
        positions = (self._starts[self._prompt] + lengths).unsqueeze(1)  # [R, 1]
        with policy.bank.use(self._stack_pairs, self._rows), cached(self._cache):
            logits = _forward(policy, tokens.unsqueeze(1), positions)[:, -1]
        # An empty slot writes to the same place again and again: it must not outgrow the buffer.
        self._lengths[:rows] += torch.tensor(self._live)
        return logits

    def _tasks_left(self, tasks: list[int]) -> RowTasks | None:
        """The tasks of rows. Stacked weights of tasks that have no row any more would be read at
        each step all the same, so they are left out once they are half of the stack."""
        if not self.stacked or self.pairs is None:
            return None
        left = set(tasks)
        if not left <= set(self._stack) or 2 * len(left) <= len(self._stack):
            every = range(stack_size(self.pairs))
            self._stack = sorted(left) if 2 * len(left) <= len(every) else list(every)
            self._stack_pairs = of_tasks(self.pairs, self._stack)
        place = {task: n for n, task in enumerate(self._stack)}
        rows = torch.tensor([place[task] for task in tasks], device=self.policy.device)
        return RowTasks(rows, len(self._stack))

    def lengthen(self, tokens: int) -> None:
        """Let every row count as if it had this many tokens: to see what memory that takes."""
        self._lengths[: self.slots] = tokens
        self._step = None


def _size(live: int) -> int:
    """Slots for this many rows: few sizes, since the library keeps code for each."""
    step = 1 if live <= 4 else 4 if live <= 16 else 8
    return -(-live // step) * step


def groups(lengths: Sequence[int], limit: int) -> list[slice]:
    """Neighbours that fit into ``limit`` padded tokens together; a longer one stands alone."""
    parts: list[slice] = []
    first = widest = 0
    for i, length in enumerate(lengths):
        widest = max(widest, length)
        if i > first and widest * (i + 1 - first) > limit:
            parts.append(slice(first, i))
            first, widest = i, length
    return [*parts, slice(first, len(lengths))]
