"""Rows that begin together, for models whose caches are the library's own.

Shapes: R slots, S tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from falcon.policy.decoding_batch import DecodingBatch, Prompt

if TYPE_CHECKING:
    from falcon.policy.pairs import Pairs, RowTasks
    from falcon.policy.policy import Policy


class FixedRows(DecodingBatch):
    """Rows that begin together. Caches are the library's own."""

    def __init__(self, policy: Policy, pairs: Pairs | None) -> None:
        super().__init__(policy, pairs)
        self._live: list[bool] = []
        self._rows: RowTasks | None = None
        self._task: list[int] = []
        self._cache: Any = None
        self._mask = torch.empty(0)  # [R, S]: of all tokens so far, or of the encoder's
        self._encoder: Any = None  # the encoder's output (seq2seq)

    @property
    def slots(self) -> int:
        """Slots in use or left empty by rows that ended: R."""
        return len(self._live)

    @property
    def refills(self) -> bool:
        """All rows begin together."""
        return False

    def add(self, prompts: Sequence[Prompt], later: int = 0) -> tuple[list[int], torch.Tensor]:
        """Read prompts. The slots of the new rows, in order, and their next logits [new, V]."""
        if self._live or later:
            raise ValueError("rows of this model begin together")
        repeats = torch.tensor([p.rows for p in prompts], device=self.policy.device)
        self._task = [p.task for p in prompts for _ in range(p.rows)]
        self._live = [True] * len(self._task)
        self._rows = self.tasks(self._task)
        start = self._start_seq2seq if self.policy.kind == "seq2seq" else self._start_causal
        return list(range(self.slots)), start(prompts, repeats)

    def more(self, rows: int) -> tuple[list[int], torch.Tensor]:
        """Nothing can be added later."""
        raise ValueError("rows of this model begin together")

    def _start_causal(self, prompts: Sequence[Prompt], repeats: torch.Tensor) -> torch.Tensor:
        from transformers.cache_utils import DynamicCache

        policy = self.policy
        # On the left, so that the last position of every row is its prompt's last token.
        ids, mask = policy.pad([prompt.ids for prompt in prompts], left=True)
        self._cache = DynamicCache(config=policy.model.config)
        with policy.bank.use(self.pairs, self.tasks([prompt.task for prompt in prompts])):
            out = policy.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=(mask.cumsum(-1) - 1).clamp(min=0),  # from 0 at the first token
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
        rows = torch.arange(len(prompts), device=repeats.device).repeat_interleave(repeats)
        self._cache.batch_select_indices(rows)
        self._mask = mask[rows]
        logits: torch.Tensor = out.logits[:, -1][rows]
        return logits

    def _start_seq2seq(self, prompts: Sequence[Prompt], repeats: torch.Tensor) -> torch.Tensor:
        from transformers.cache_utils import DynamicCache, EncoderDecoderCache

        policy = self.policy
        ids, mask = policy.pad([prompt.ids for prompt in prompts], left=False)
        with policy.bank.use(self.pairs, self.tasks([prompt.task for prompt in prompts])):
            self._encoder = policy.model.get_encoder()(
                input_ids=ids, attention_mask=mask, return_dict=True
            )
        hidden = self._encoder.last_hidden_state
        self._encoder.last_hidden_state = hidden.repeat_interleave(repeats, dim=0)
        self._mask = mask.repeat_interleave(repeats, dim=0)
        self._cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        start = policy.model.config.decoder_start_token_id
        return self.advance(torch.full((self.slots,), start, device=policy.device))

    def end(self, slot: int) -> None:
        """The row in this slot has ended. The slot stays, until it is filled or squeezed out."""
        self._live[slot] = False

    def squeeze(self) -> dict[int, int]:
        """Give up empty slots, where that saves work. Old slot -> new slot of rows that moved."""
        kept = [slot for slot, live in enumerate(self._live) if live]
        if len(kept) == self.slots:
            return {}
        if kept:
            index = torch.tensor(kept, device=self.policy.device)
            self._cache.batch_select_indices(index)
            self._mask = self._mask[index]
            if self._encoder is not None:
                hidden = self._encoder.last_hidden_state
                self._encoder.last_hidden_state = hidden[index]
        self._task = [self._task[slot] for slot in kept]
        self._rows = self.tasks(self._task) if kept else None
        self._live = [True] * len(kept)
        return {old: new for new, old in enumerate(kept) if new != old}

    def advance(self, tokens: torch.Tensor) -> torch.Tensor:
        """Feed one token a slot, [R], and compute the next logits [R, V]."""
        policy, mask = self.policy, self._mask
        given: dict[str, Any] = {"past_key_values": self._cache, "use_cache": True}
        ids = tokens.to(policy.device).unsqueeze(1)
        with policy.bank.use(self.pairs, self._rows):
            if policy.kind == "seq2seq":
                given |= {"encoder_outputs": self._encoder, "decoder_input_ids": ids}
            else:
                given |= {"input_ids": ids, "position_ids": mask.sum(-1, keepdim=True)}
                mask = self._mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
            logits: torch.Tensor = policy.model(attention_mask=mask, **given).logits[:, -1]
        return logits

    def lengthen(self, tokens: int) -> None:
        """Nothing: the library's caches hold what was written, and no more."""
