"""Rows that come and go give the logits of a plain forward pass of each text, whatever happens."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, MistralConfig, MistralForCausalLM

from falcon.policy.attention import grows
from falcon.policy.decoding import Rows, batch_of
from falcon.policy.decoding_batch import Prompt, Room
from falcon.policy.fixed_rows import FixedRows
from falcon.policy.pairs import Pairs
from falcon.policy.policy import Policy
from tests.models import load_tiny, of_task, own_weights, tiny_of


def plain(policy: Policy, ids: list[int], pairs: Pairs | None) -> torch.Tensor:
    """Logits after a text, [V], by the library alone."""
    with torch.inference_mode(), policy.bank.use(pairs):
        logits: torch.Tensor = policy.model(input_ids=torch.tensor([ids]), use_cache=False).logits
    return logits[0, -1]


class Life:
    """A batch in which rows begin and end at random; all logits are compared with plain passes."""

    def __init__(self, policy: Policy, pairs: Pairs | None, room: Room, seed: int) -> None:
        self.policy, self.pairs, self.room = policy, pairs, room
        self.random = random.Random(seed)
        self.batch = batch_of(policy, pairs, room)
        self.texts: dict[int, tuple[list[int], int]] = {}  # by slot: all tokens, and the task
        self.later: list[tuple[list[int], int]] = []  # rows to come of the last prompt
        self.begun = self.moved = self.added_later = 0

    def token(self) -> int:
        return self.random.randrange(5, 300)

    def add(self) -> None:
        if self.later:
            self.add_later()
            return
        prompts: list[Prompt] = []
        free = self.room.rows - len(self.texts)
        while (
            free
            and len(prompts) < self.random.randint(1, 3)
            and len(prompts) + len({tuple(t[:3]) for t, _ in self.texts.values()}) < 3
        ):
            length = self.random.randint(3, self.room.prompt_tokens)
            rows = self.random.randint(1, min(3, free))
            free -= rows
            ids = [self.token() for _ in range(length)]
            prompts.append(Prompt(ids, rows, self.random.randrange(3)))
        if not prompts:
            return
        later = self.random.randint(0, 3)
        self.later = [(list(prompts[-1].ids), prompts[-1].task) for _ in range(later)]
        slots, logits = self.batch.add(prompts, later)
        self.check_new(slots, logits, [(p.ids, p.task) for p in prompts for _ in range(p.rows)])

    def add_later(self) -> None:
        n = min(self.random.randint(1, len(self.later)), self.room.rows - len(self.texts))
        rows, self.later = self.later[:n], self.later[n:]
        slots, logits = self.batch.more(n)
        self.check_new(slots, logits, rows)
        self.added_later += n

    def check_new(
        self, slots: list[int], logits: torch.Tensor, rows: list[tuple[Sequence[int], int]]
    ) -> None:
        assert len(set(slots)) == len(logits) == len(rows)
        assert not set(slots) & set(self.texts)
        for slot, (ids, task), found in zip(slots, rows, logits, strict=True):
            self.texts[slot] = list(ids), task
            self.check(slot, found)
        self.begun += len(slots)

    def check(self, slot: int, found: torch.Tensor) -> None:
        ids, task = self.texts[slot]
        pairs = self.pairs
        if pairs is not None and next(iter(pairs.values()))[0].dim() == 3:
            pairs = of_task(pairs, task)
        torch.testing.assert_close(found, plain(self.policy, ids, pairs), rtol=1e-3, atol=1e-4)

    def step(self) -> None:
        for slot in list(self.texts):
            if self.random.random() < 0.12:
                self.batch.end(slot)
                del self.texts[slot]
        moved = self.batch.squeeze()
        self.moved += len(moved)
        for old, new in moved.items():
            self.texts[new] = self.texts.pop(old)
        if self.random.random() < 0.5:
            self.add()
        if not self.texts:
            return
        tokens = torch.zeros(self.batch.slots, dtype=torch.long)
        for slot, (ids, _) in self.texts.items():
            ids.append(self.token())
            tokens[slot] = ids[-1]
        logits = self.batch.advance(tokens)
        for slot in self.texts:
            self.check(slot, logits[slot])


@pytest.mark.parametrize("kind", ["bare", "meta", "stacked"])
@pytest.mark.parametrize("seed", range(3))
@torch.inference_mode()
def test_rows_that_come_and_go_have_the_logits_of_plain_passes(
    causal: Policy, kind: str, seed: int
) -> None:
    choices = {"bare": None, "meta": causal.bank.meta(), "stacked": own_weights(causal, 3)}
    life = Life(causal, choices[kind], Room(6, 12, 40), seed)
    assert isinstance(life.batch, Rows)
    life.add()
    for _ in range(70):
        life.step()
    assert life.begun > 25
    assert life.moved > 0
    assert life.added_later > 0


@torch.inference_mode()
def test_weights_of_tasks_without_rows_are_not_read(causal: Policy) -> None:
    weights = own_weights(causal, 4)
    batch = batch_of(causal, weights, Room(5, 5, 8))
    slots, logits = batch.add([Prompt([5, 9, 30 + task], 1, task) for task in (0, 1, 2, 3)])
    stacks: list[int] = []
    use = causal.bank.use

    def watched(pairs: Pairs | None, rows: Any = None) -> Any:
        stacks.append(len(next(iter(pairs.values()))[0]) if pairs else 0)
        return use(pairs, rows)

    causal.bank.use = watched  # type: ignore[method-assign]
    batch.advance(logits.argmax(-1))
    batch.end(slots[0])
    batch.end(slots[3])
    moved = batch.squeeze()
    token = torch.tensor([7] * batch.slots)
    found = batch.advance(token)
    assert stacks == [4, 2]
    row = moved.get(slots[2], slots[2])
    ids = [5, 9, 32, int(logits[2].argmax()), 7]
    torch.testing.assert_close(
        found[row], plain(causal, ids, of_task(weights, 2)), rtol=1e-3, atol=1e-4
    )
    (slot,), first = batch.add([Prompt([8, 9], 1, 0)])  # a task that was left out comes back
    ids, token = [8, 9, int(first.argmax())], torch.tensor([7] * batch.slots)
    token[slot] = ids[-1]
    found = batch.advance(token)
    torch.testing.assert_close(
        found[slot], plain(causal, ids, of_task(weights, 0)), rtol=1e-3, atol=1e-4
    )


@torch.inference_mode()
def test_a_row_may_be_longer_than_its_first_room(causal: Policy) -> None:
    life = Life(causal, None, Room(2, 2, 5), 0)
    life.add()
    life.random.random = lambda: 1.0  # type: ignore[method-assign]  no row ends, and none begins
    for _ in range(89):
        life.step()


@torch.inference_mode()
def test_a_prompt_is_read_once_for_all_its_rows(causal: Policy) -> None:
    passes: list[tuple[int, ...]] = []
    causal.model.register_forward_pre_hook(
        lambda _model, _args, given: passes.append(tuple(given["input_ids"].shape)),
        with_kwargs=True,
    )
    batch = batch_of(causal, None, Room(1, 8, 20))
    passes.clear()
    batch.add([Prompt(list(range(5, 25)), 3)], later=5)
    batch.more(4)
    batch.more(1)
    assert passes == [(1, 20)]
    with pytest.raises(ValueError, match="kept for 0"):
        batch.more(1)


@pytest.mark.parametrize("window", [None, 8])
@torch.inference_mode()
def test_sliding_windows_begin_together_and_are_right(tmp_path: Path, window: int | None) -> None:
    config = MistralConfig(
        vocab_size=360, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, sliding_window=window,
    )  # fmt: skip
    policy = load_tiny(tiny_of(MistralForCausalLM(config), tmp_path))
    batch = batch_of(policy, None, Room(3, 6, 20))
    assert isinstance(batch, Rows if window is None else FixedRows)
    texts = {}
    slots, logits = batch.add([Prompt(list(range(5, 5 + n)), 2) for n in (20, 3, 12)])
    for slot, n in zip(slots, (20, 20, 3, 3, 12, 12), strict=True):
        texts[slot] = list(range(5, 5 + n))
    for step in range(25):
        for slot, ids in texts.items():
            wanted = plain(policy, ids, None)
            torch.testing.assert_close(logits[slot], wanted, rtol=1e-3, atol=1e-4)
        if step == 10:
            batch.end(1)
            del texts[1]
            for old, new in batch.squeeze().items():
                texts[new] = texts.pop(old)
        tokens = torch.zeros(batch.slots, dtype=torch.long)
        for slot, ids in texts.items():
            ids.append(7 + slot + step)
            tokens[slot] = ids[-1]
        logits = batch.advance(tokens)


def test_a_model_with_full_attention_grows() -> None:
    assert grows(LlamaConfig(num_hidden_layers=1))
    assert not grows(MistralConfig(sliding_window=16))


@torch.inference_mode()
def test_rows_take_the_memory_of_their_longest_length(causal: Policy) -> None:
    batch = batch_of(causal, None, Room(2, 8, 20))
    assert isinstance(batch, Rows)
    _, logits = batch.add([Prompt(list(range(5, 25)), 4), Prompt(list(range(5, 15)), 4)])
    batch.advance(logits.argmax(-1))

    def held() -> int:
        return sum(
            t.nbytes for layer in batch._cache._layers.values() for t in vars(layer).values()
        )

    short = held()
    batch.lengthen(999)
    batch.advance(logits.argmax(-1))
    assert held() > 10 * short
