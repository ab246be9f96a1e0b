"""Policy: the actor p(w | D, theta). A frozen backbone, its adapter, and the form of its prompts.

One object for decoder-only and encoder-decoder models. :mod:`falcon.generation.local` generates
with it, :mod:`falcon.policy.likelihood` computes its log-probabilities. It is saved as a PEFT
adapter with its tokenizer.

Shapes: R rows, L tokens of the longest row, V vocabulary.
"""

from __future__ import annotations

import hashlib
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from falcon.policy.adapter import AdapterBank, Pairs, attach, load_adapter, save_adapter
from falcon.policy.backbone import Backbone, load_backbone
from falcon.policy.kv_cache import GrowingLayer, grows, joined, new_cache
from falcon.policy.recompute import Recompute
from falcon.policy.shards import Shards

if TYPE_CHECKING:
    from falcon.config import PolicySettings
    from falcon.prompts.forms import Form


# Padded tokens of one pass over prompts. On a CPU a token of a large pass takes several times as
# long: activations leave the processor's caches, and their memory is allocated anew each time.
PASS_TOKENS = defaultdict(lambda: 32768, cpu=2048)


class Policy:
    """A backbone with one adapter bank. ``bank.parameters()`` is everything that is trained."""

    def __init__(self, backbone: Backbone, bank: AdapterBank) -> None:
        self.backbone = backbone
        self.bank = bank
        self.model = backbone.model
        self.prompts = backbone.prompts
        self.tokenizer = backbone.prompts.tokenizer
        self.kind = backbone.kind
        self._recompute: Recompute | None = None
        self._shards: Shards | None = None
        ends = self.model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        # A model may end with more tokens than its tokenizer names: the end of a turn, of a text.
        self.end_ids = frozenset(i for i in (*ends, self.tokenizer.eos_token_id) if i is not None)

    @classmethod
    def load(
        cls,
        settings: PolicySettings,
        *,
        adapter: Path | None = None,
        seed: int = 0,
        second_order: bool = False,
    ) -> Policy:
        """Load the backbone, attach an adapter drawn from ``seed`` and read ``adapter`` into it.

        ``second_order`` picks attention that can be differentiated twice (``meta.order: 2``).
        Raises UserError for a model that does not exist or an adapter of another model.
        """
        s, backbone = settings, load_backbone(settings, second_order=second_order)
        bank = attach(
            backbone, rank=s.lora_rank, alpha=s.lora_alpha, targets=s.lora_targets, seed=seed
        )
        policy = cls(backbone, bank)
        if adapter is not None:
            load_adapter(bank, adapter)
        return policy

    @property
    def form(self) -> Form:
        """How problems are put to this model; benchmarks set it to add worked examples."""
        return self.prompts.form

    @form.setter
    def form(self, form: Form) -> None:
        self.prompts = replace(self.prompts, form=form)

    @property
    def chat(self) -> bool:
        """Whether prompts are turns of a chat."""
        return self.form.chat

    def recompute(self) -> None:
        """From now on :meth:`training_pass` keeps no activations of the blocks.

        Raises UserError for a model that cannot.
        """
        self._recompute = Recompute(self.backbone, self.bank)

    def training_pass(self) -> AbstractContextManager[None]:
        """A block of forward passes that a gradient is taken through."""
        return self._recompute.on() if self._recompute else nullcontext()

    def shard(self) -> None:
        """Split the frozen blocks over the processes. Raises UserError for a model that cannot."""
        self._shards = Shards(self.backbone)

    def gathered(self) -> AbstractContextManager[None]:
        """Inside, all weights are there and each process makes as many passes as it likes."""
        return self._shards.gathered() if self._shards else nullcontext()

    def passes(self, own: int) -> int:
        """Training passes to make where this process needs ``own``: the most that any needs.

        Every process calls this before its first pass.
        """
        return self._shards.passes(own) if self._shards else own

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.backbone.device

    @property
    def compute_dtype(self) -> torch.dtype:
        """Precision of the backbone."""
        dtype: torch.dtype = next(self.model.parameters()).dtype
        return dtype

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens added."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens and spacing kept as they are."""
        keep = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
        return str(self.tokenizer.decode(list(ids), **keep))

    def save(self, folder: Path) -> None:
        """Write the adapter (PEFT format) and the tokenizer into ``folder``."""
        save_adapter(self.bank, self.backbone, folder, self.backbone.name)
        self.tokenizer.save_pretrained(folder)

    def digest(self) -> str:
        """Short digest of the adapter weights: the policy version in memories and logs."""
        state = hashlib.sha256()
        for tensor in self.bank.parameters():
            state.update(tensor.detach().cpu().numpy().tobytes())
        return state.hexdigest()[:12]

    def start(
        self,
        prompts: list[Sequence[int]],
        samples: int,
        pairs: Pairs | None,
        row_task: torch.Tensor | None,
    ) -> DecodingState:
        """Read each prompt once and make ``samples`` rows of it, ready to draw the first token."""
        start = _start_seq2seq if self.kind == "seq2seq" else _start_causal
        return start(self, prompts, samples, pairs, row_task)

    def pad(
        self, rows: Sequence[Sequence[int]], *, left: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids [R, L] and mask [R, L] (1 for real tokens) of rows of unequal length."""
        length = max(len(row) for row in rows)
        ids = torch.full((len(rows), length), self.tokenizer.pad_token_id, dtype=torch.long)
        mask = torch.zeros(len(rows), length, dtype=torch.long)
        for i, row in enumerate(rows):
            place = slice(length - len(row), length) if left else slice(0, len(row))
            ids[i, place] = torch.tensor(list(row), dtype=torch.long)
            mask[i, place] = 1
        return ids.to(self.device), mask.to(self.device)


@dataclass(eq=False)
class DecodingState:
    """Rows that are being decoded: logits of the next token, and the caches behind them."""

    policy: Policy
    pairs: Pairs | None
    row_task: torch.Tensor | None  # [R]
    cache: Any
    logits: torch.Tensor  # [R, V]
    mask: torch.Tensor  # [R, S]: of all tokens so far (causal), of the prompt (seq2seq)
    encoder: Any = None  # the encoder's output (seq2seq)

    def select(self, index: torch.Tensor) -> None:
        """Keep only the rows of ``index``."""
        self.cache.batch_select_indices(index)
        self.mask = self.mask[index]
        if self.row_task is not None:
            self.row_task = self.row_task[index]
        if self.encoder is not None:
            self.encoder.last_hidden_state = self.encoder.last_hidden_state[index]

    def reserve(self, tokens: int) -> None:
        """Make room for this many more tokens at once, where the cache grows in place."""
        for layer in getattr(self.cache, "layers", ()):
            if isinstance(layer, GrowingLayer):
                layer.reserve(tokens)

    def advance(self, tokens: torch.Tensor) -> None:
        """Feed one token a row, [R], and compute the next logits."""
        policy = self.policy
        with policy.bank.use(self.pairs, self.row_task):
            if policy.kind == "seq2seq":
                out = policy.model(
                    encoder_outputs=self.encoder,
                    attention_mask=self.mask,
                    decoder_input_ids=tokens.unsqueeze(1),
                    past_key_values=self.cache,
                    use_cache=True,
                )
            else:
                positions = self.mask.sum(-1, keepdim=True)  # [R, 1]; padding is not counted
                self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)
                out = policy.model(
                    input_ids=tokens.unsqueeze(1),
                    attention_mask=self.mask,
                    position_ids=positions,
                    past_key_values=self.cache,
                    use_cache=True,
                )
        self.logits = out.logits[:, -1]  # [R, V]


def _repeat(tensor: torch.Tensor | None, times: int) -> torch.Tensor | None:
    return None if tensor is None else tensor.repeat_interleave(times, dim=0)


def _start_causal(
    policy: Policy,
    prompts: list[Sequence[int]],
    samples: int,
    pairs: Pairs | None,
    row_task: torch.Tensor | None,
) -> DecodingState:
    """One pass for each group of prompts of like length, so that little of it is padding."""
    limit = PASS_TOKENS[policy.device.type] if grows(policy.model.config) else sys.maxsize
    groups = _groups([len(p) for p in prompts], limit)
    # On the left, so that the last position of every row is its prompt's last token.
    ids, mask = policy.pad(prompts, left=True)
    width = ids.shape[1]
    caches, logits = [], []
    for part in groups:
        longest = max(len(p) for p in prompts[part])
        at = (part, slice(width - longest, width))  # the group's rows without needless padding
        cache = new_cache(policy.model.config)
        with policy.bank.use(pairs, None if row_task is None else row_task[part]):
            out = policy.model(
                input_ids=ids[at],
                attention_mask=mask[at],
                position_ids=(mask[at].cumsum(-1) - 1).clamp(min=0),  # from 0 at the first token
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        caches.append(cache)
        logits.append(out.logits[:, -1])
    cache = joined(caches, width)
    cache.batch_repeat_interleave(samples)  # rows of one prompt stay neighbours
    first_logits = torch.cat(logits).repeat_interleave(samples, dim=0)  # [R, V]
    row_task, mask = _repeat(row_task, samples), mask.repeat_interleave(samples, dim=0)
    return DecodingState(policy, pairs, row_task, cache, first_logits, mask)


def _groups(lengths: Sequence[int], limit: int) -> list[slice]:
    """Neighbours that fit into ``limit`` padded tokens together; a longer one stands alone."""
    groups: list[slice] = []
    first = widest = 0
    for i, length in enumerate(lengths):
        widest = max(widest, length)
        if i > first and widest * (i + 1 - first) > limit:
            groups.append(slice(first, i))
            first, widest = i, length
    return [*groups, slice(first, len(lengths))]


def _start_seq2seq(
    policy: Policy,
    prompts: list[Sequence[int]],
    samples: int,
    pairs: Pairs | None,
    row_task: torch.Tensor | None,
) -> DecodingState:
    from transformers.cache_utils import DynamicCache, EncoderDecoderCache

    ids, mask = policy.pad(prompts, left=False)
    with policy.bank.use(pairs, row_task):
        encoder = policy.model.get_encoder()(input_ids=ids, attention_mask=mask, return_dict=True)
    encoder.last_hidden_state = encoder.last_hidden_state.repeat_interleave(samples, dim=0)
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    row_task, mask = _repeat(row_task, samples), mask.repeat_interleave(samples, dim=0)
    state = DecodingState(policy, pairs, row_task, cache, torch.empty(0), mask, encoder)
    start = policy.model.config.decoder_start_token_id
    state.advance(torch.full((len(mask),), start, device=policy.device))
    return state
