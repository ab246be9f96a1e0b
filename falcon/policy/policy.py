"""Policy: the actor p(w | D, theta). A frozen backbone, its adapter, and the form of its prompts.

One object for decoder-only and encoder-decoder models. :mod:`falcon.generation.local` generates
with it, :mod:`falcon.policy.likelihood` computes its log-probabilities. It is saved as a PEFT
adapter with its tokenizer.

Shapes: R rows, L tokens of the longest row, V vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from falcon.policy.adapter import AdapterBank, attach, load_adapter, save_adapter
from falcon.policy.attention import packs
from falcon.policy.backbone import Backbone, load_backbone
from falcon.policy.head import Head
from falcon.policy.recompute import Recompute
from falcon.policy.shards import Shards

if TYPE_CHECKING:
    from falcon.config import PolicySettings
    from falcon.policy.pairs import Pairs
    from falcon.prompts.forms import Form


class Policy:
    """A backbone with one adapter bank. ``bank.parameters()`` is everything that is trained."""

    def __init__(
        self, backbone: Backbone, bank: AdapterBank, *, second_order: bool = False
    ) -> None:
        self.backbone = backbone
        self.bank = bank
        self.model = backbone.model
        self.prompts = backbone.prompts
        self.tokenizer = backbone.prompts.tokenizer
        self.kind = backbone.kind
        self.packs = self.kind == "seq2seq" or packs(self.model)
        self._recompute: Recompute | None = None
        self._shards: Shards | None = None
        self.refills: bool | None = None
        """Whether rows of a batch may be replaced while others are written; None: not tried yet."""
        self.token_bytes = 0
        """Bytes that a token's keys and values take, where rows may be replaced."""
        head = self.model.get_output_embeddings()
        self.head = Head(head, self.model.config, once=not second_order)
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
        """Load the backbone and attach an adapter drawn from ``seed``, or ``adapter`` as it is.

        The rank, alpha and layers of ``adapter`` are its own, whatever the settings say.
        ``second_order`` picks attention that can be differentiated twice (``meta.order: 2``).
        Raises UserError for a model that does not exist or an adapter of another model.
        """
        s, backbone = settings, load_backbone(settings, second_order=second_order)
        targets = s.lora_targets if adapter is None else ()  # another model may have other layers
        bank = attach(backbone, rank=s.lora_rank, alpha=s.lora_alpha, targets=targets, seed=seed)
        if adapter is not None:
            load_adapter(bank, backbone, adapter)
        return cls(backbone, bank, second_order=second_order)

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
        """A block of forward passes that a gradient is taken through. They take most memory, so
        packed copies are given up before."""
        if torch.is_grad_enabled():
            self.unpack()
        return self._recompute.on() if self._recompute else nullcontext()

    def shard(self) -> None:
        """Split the frozen blocks over the processes. Raises UserError for a model that cannot."""
        self._shards = Shards(self.backbone)

    def pack(self) -> None:
        """Let passes without gradients use packed copies of all weights, on a CPU that has such."""
        if self._packs_weights():
            self.bank.pack(self.model)

    def fold(self, pairs: Pairs) -> AbstractContextManager[None]:
        """A block of passes without gradients to whose weights ``pairs`` are added: see
        :meth:`AdapterBank.fold`. They are packed as in :meth:`pack`."""
        return self.bank.fold(pairs, self.model if self._packs_weights() else None)

    def _packs_weights(self) -> bool:
        # Of split weights a process has a part.
        return self._shards is None and self.head.pack()

    def unpack(self) -> None:
        """Give packed copies up: they take as much memory as the weights."""
        self.head.unpack()
        self.bank.unpack()

    def gathered(self) -> AbstractContextManager[None]:
        """Inside, all weights are there and each process makes as many passes as it likes."""
        return self._shards.gathered() if self._shards else nullcontext()

    @property
    def in_step(self) -> bool:
        """Whether training passes must be made one after the other: all processes gather weights
        in each, or blocks are told to recompute for the time of one."""
        return self._shards is not None or self._recompute is not None

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
