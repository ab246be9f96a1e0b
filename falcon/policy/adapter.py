"""Adapters: LoRA pairs with an optional leading task dimension (the fast weights of MRLF).

Meta weights are pairs A [r, in], B [out, r], one pair a linear layer. Fast weights stack N
adapted copies, A [N, r, in], B [N, out, r]: the frozen backbone runs once over the rows of
all tasks and only the low-rank products differ. Saved in PEFT's format. No dropout (an
inner step must see the function it differentiates), no other adapter kinds.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from falcon.errors import UserError
from falcon.policy.pairs import Pairs, RowTasks, is_stacked, stack_size, turned, with_low_rank
from falcon.policy.peft_files import CONFIG, PREFIX, WEIGHTS, read_lora, scaling_of
from falcon.policy.siblings import Siblings, seen_in

if TYPE_CHECKING:
    from falcon.policy.backbone import Backbone

# LoRA starts B at zero, where A has no gradient, so a single inner step could not move A. This
# much changes the function far less than the backbone's own rounding in bfloat16.
B_STD = 1e-3


class AdaptedLinear(nn.Module):
    """A frozen linear layer plus the low-rank product of the pair now in use."""

    def __init__(self, base: nn.Linear, name: str, bank: AdapterBank) -> None:
        super().__init__()
        self.base = base
        self.name = name
        self.siblings: Siblings | None = None  # see :meth:`AdapterBank.pack`
        # Past nn.Module's own setattr, which would make the bank a child of each of its layers.
        object.__setattr__(self, "_bank", bank)

    @property
    def weight(self) -> torch.Tensor:
        """The frozen weight: some architectures read its type or device."""
        return self.base.weight

    @property
    def bias(self) -> torch.Tensor | None:
        """The frozen bias."""
        return self.base.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[R, L, in] -> [R, L, out]."""
        bank: AdapterBank = self._bank  # type: ignore[assignment]
        if self.name in bank.folded:
            return nn.functional.linear(x, bank.folded[self.name], self.base.bias)
        siblings = None if torch.is_grad_enabled() else self.siblings
        if siblings is not None and (siblings.adapted or bank.joins(siblings)):
            y = siblings.output(self.name, x, bank.adapted)
            if y is not None:
                return y
        return bank.adapted(self.base(x), x, self.name)


class _InUse(threading.local):
    """What the layers read in one thread: several threads may make passes at once."""

    chosen = False
    pairs: Pairs | None = None
    rows: RowTasks | None = None


class AdapterBank(nn.Module):
    """The meta weights of every adapted layer, and which weights are in use now.

    ``active`` is what the layers read: the meta pairs (at first), a stack of fast pairs, or None
    for the bare backbone. ``rows`` names the task of each row while a stack is active.
    """

    def __init__(self, rank: int, alpha: float) -> None:
        super().__init__()
        self.rank = rank
        self.alpha = alpha
        self.scale = alpha / rank
        self.names: list[str] = []
        self._layers: list[AdaptedLinear] = []
        self.a = nn.ParameterList()
        self.b = nn.ParameterList()
        self._in_use = _InUse()
        self.folded: dict[str, torch.Tensor] = {}
        self._groups: list[list[str]] = []  # of siblings, once they were looked for

    @property
    def active(self) -> Pairs | None:
        """The pairs that layers read in this thread."""
        if not self._in_use.chosen:
            self.active = self.meta()
        return self._in_use.pairs

    @active.setter
    def active(self, pairs: Pairs | None) -> None:
        self._in_use.chosen, self._in_use.pairs = True, pairs

    @property
    def rows(self) -> RowTasks | None:
        """The task of each row, in this thread."""
        return self._in_use.rows

    @rows.setter
    def rows(self, rows: RowTasks | None) -> None:
        self._in_use.rows = rows

    def add(self, name: str, linear: nn.Linear, generator: torch.Generator) -> AdaptedLinear:
        """Give one layer its pair, drawn from ``generator`` (CPU)."""
        a = torch.empty(self.rank, linear.in_features)
        bound = 1 / math.sqrt(linear.in_features)
        a.uniform_(-bound, bound, generator=generator)
        b = torch.empty(linear.out_features, self.rank).normal_(0, B_STD, generator=generator)
        self.names.append(name)
        self.a.append(nn.Parameter(a.to(linear.weight.device)))
        self.b.append(nn.Parameter(b.to(linear.weight.device)))
        layer = AdaptedLinear(linear, name, self)
        self._layers.append(layer)
        return layer

    def clear(self) -> None:
        """Forget all layers and their pairs."""
        self.names, self._layers = [], []
        self.a, self.b = nn.ParameterList(), nn.ParameterList()

    def meta(self) -> Pairs:
        """The meta pairs themselves (they carry the gradient of the meta-update)."""
        return {n: (a, b) for n, a, b in zip(self.names, self.a, self.b, strict=True)}

    def stack(self, tasks: int) -> Pairs:
        """N detached copies [N, ...] with gradients of their own: theta_i = theta (Algorithm 1)."""
        return {
            name: (
                a.detach().expand(tasks, *a.shape).clone().requires_grad_(),
                b.detach().expand(tasks, *b.shape).clone().requires_grad_(),
            )
            for name, (a, b) in self.meta().items()
        }

    def use(
        self, pairs: Pairs | None, row_task: torch.Tensor | RowTasks | None = None
    ) -> AbstractContextManager[None]:
        """Let the layers read ``pairs`` inside the block (None: the bare backbone)."""
        if isinstance(row_task, torch.Tensor):
            row_task = RowTasks(row_task, stack_size(pairs) if pairs else 0)
        return _Use(self, pairs, row_task)

    def adapted(
        self, y: torch.Tensor, x: torch.Tensor, name: str, sizes: Sequence[int] = ()
    ) -> torch.Tensor:
        """y, what the frozen layer ``name`` makes of x, with the product of the pair in use.
        ``sizes``: the outputs of siblings, whose pair is joined."""
        if self.active is None:
            return y
        return with_low_rank(y, x, self.active[name], self.scale, self.rows, sizes)

    def joins(self, siblings: Siblings) -> bool:
        """Whether the pairs in use are joined to those of siblings."""
        return self.active is None or siblings.key in self.active

    def joined(self, pairs: Pairs) -> Pairs:
        """Pairs with those of siblings, laid out for passes without gradients."""
        if is_stacked(pairs):
            pairs = {name: (a, turned(b)) for name, (a, b) in pairs.items()}
        found = {layer.siblings.key: layer.siblings for layer in self._layers if layer.siblings}
        return pairs | {key: siblings.join(pairs) for key, siblings in found.items()}

    def again(self) -> AbstractContextManager[None]:
        """A block in which the layers read what they read now, whatever they read by then."""
        return _Use(self, self.active, self.rows)

    def pack(self, model: nn.Module) -> None:
        """Let passes without gradients use packed copies of the frozen weights, where there are
        such. They take as much memory again."""
        if any(layer.siblings for layer in self._layers):
            return
        for layers in self._families(model):
            siblings = Siblings.of(layers)
            for layer in layers:
                layer.siblings = siblings

    def _families(self, model: nn.Module) -> list[list[AdaptedLinear]]:
        """Layers that read the same input. They are looked for once."""
        self._groups = self._groups or seen_in(model, self.names)
        by_name = {layer.name: layer for layer in self._layers}
        return [[by_name[name] for name in names] for names in self._groups]

    def unpack(self) -> None:
        """Give the packed copies up."""
        for layer in self._layers:
            layer.siblings = None

    def _with_pair(self, w: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.addmm(w, b, a, alpha=self.scale)

    @contextmanager
    def fold(self, pairs: Pairs, packing: nn.Module | None = None) -> Iterator[None]:
        """Let the layers use W + scale B A inside the block, for many passes without gradients.

        A pass then costs as much as one of the bare backbone. The frozen weights stay as they
        are, so the sums take as much memory again. Float32 only: bfloat16 would round the sum.
        ``packing``: the model, if the sums are to be packed where that pays.
        """
        self.unpack()
        families = self._families(packing) if packing else [[layer] for layer in self._layers]
        with torch.no_grad():
            for layers in families:
                sums = [self._with_pair(layer.weight, *pairs[layer.name]) for layer in layers]
                siblings = Siblings.of(layers, sums) if packing else None
                for layer, summed in zip(layers, sums, strict=True):
                    layer.siblings = siblings
                    if siblings is None:
                        self.folded[layer.name] = summed
        try:
            yield
        finally:
            self.folded = {}
            self.unpack()


class _Use(AbstractContextManager[None]):
    """A block with these weights in use. It may be entered again, also inside itself."""

    def __init__(self, bank: AdapterBank, pairs: Pairs | None, rows: RowTasks | None) -> None:
        self._bank, self._pairs, self._rows = bank, pairs, rows
        self._before: list[tuple[Pairs | None, RowTasks | None]] = []

    def __enter__(self) -> None:
        bank = self._bank
        self._before.append((bank.active, bank.rows))
        bank.active, bank.rows = self._pairs, self._rows

    def __exit__(self, *_: object) -> None:
        self._bank.active, self._bank.rows = self._before.pop()


def linear_names(backbone: Backbone, targets: tuple[str, ...]) -> list[str]:
    """Full names of the layers to adapt: those named in ``targets``, or every linear of the blocks.

    Raises UserError naming the targets that the model does not have.
    """
    head = backbone.model.get_output_embeddings()
    modules = list(backbone.model.named_modules())
    passed_over = {m.base for _, m in modules if isinstance(m, AdaptedLinear)} | {head}
    linear = (nn.Linear, AdaptedLinear)
    names = [name for name, m in modules if isinstance(m, linear) and m not in passed_over]
    if not targets:
        return names
    leaves = {name.rsplit(".", 1)[-1] for name in names}
    absent = sorted(set(targets) - leaves)
    if absent:
        raise UserError(
            f"policy.lora_targets: {backbone.name} has no linear layer {', '.join(absent)}.",
            hint=f"It has: {', '.join(sorted(leaves))}.",
        )
    return [name for name in names if name.rsplit(".", 1)[-1] in targets]


def attach(
    backbone: Backbone, *, rank: int, alpha: float, targets: tuple[str, ...] = (), seed: int = 0
) -> AdapterBank:
    """Put an adapter on the backbone's linear layers and return the bank that holds them."""
    bank = AdapterBank(rank, alpha)
    names = linear_names(backbone, targets)
    if not names:
        raise UserError(f"policy.model: {backbone.name} has no linear layer to adapt.")
    _wrap(bank, backbone, names, torch.Generator().manual_seed(seed))
    return bank


def _wrap(
    bank: AdapterBank, backbone: Backbone, names: list[str], generator: torch.Generator
) -> None:
    for name in names:
        parent_name, _, leaf = name.rpartition(".")
        parent = backbone.model.get_submodule(parent_name)
        setattr(parent, leaf, bank.add(name, getattr(parent, leaf), generator))
    bank.active = bank.meta()


def _unwrap(bank: AdapterBank, backbone: Backbone) -> None:
    for name in bank.names:
        parent_name, _, leaf = name.rpartition(".")
        parent = backbone.model.get_submodule(parent_name)
        setattr(parent, leaf, getattr(parent, leaf).base)


def save_adapter(bank: AdapterBank, backbone: Backbone, folder: Path, source: str) -> None:
    """Write ``adapter_model.safetensors`` and ``adapter_config.json`` as PEFT does.

    ``source`` is the model setting, recorded as the base model. PEFT alone loads the folder.
    """
    save_pairs(bank.meta(), bank, backbone, folder, source)


def save_pairs(
    pairs: Pairs, bank: AdapterBank, backbone: Backbone, folder: Path, source: str
) -> None:
    """As :func:`save_adapter`, with other weights of the bank's layers: those of one task."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, torch.Tensor] = {}
    for name, (a, b) in pairs.items():
        tensors[f"{PREFIX}{name}.lora_A.weight"] = a.detach().cpu().contiguous()
        tensors[f"{PREFIX}{name}.lora_B.weight"] = b.detach().cpu().contiguous()
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    leaves = sorted({name.rsplit(".", 1)[-1] for name in bank.names})
    every = linear_names(backbone, tuple(leaves)) == bank.names
    config: Mapping[str, Any] = {
        "peft_type": "LORA",
        "task_type": "SEQ_2_SEQ_LM" if backbone.kind == "seq2seq" else "CAUSAL_LM",
        "base_model_name_or_path": source,
        "r": bank.rank,
        "lora_alpha": bank.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": leaves if every else bank.names,
        "inference_mode": True,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def adapter_digest(folder: Path) -> str:
    """Digest of the weights and scales in an adapter's folder, 12 hex digits.

    Raises UserError where there is none, or one of a kind that cannot be loaded.
    """
    scaling = scaling_of(folder)
    try:
        data = (folder / WEIGHTS).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{folder}: no adapter there.", hint="Run the train stage.") from None
    return hashlib.sha256(data + scaling).hexdigest()[:12]


def load_adapter(bank: AdapterBank, backbone: Backbone, folder: Path) -> None:
    """Read a folder written by :func:`save_adapter` or by PEFT into the meta weights.

    Rank, alpha and layers become those of the folder; where they are so already, the parameters
    stay the same objects (an optimizer may hold them). Raises UserError when the folder holds no
    adapter, or a damaged one, or one that does not fit or cannot be represented.
    """
    lora = read_lora(folder, linear_names(backbone, ()))
    for name, (a, b) in lora.pairs.items():
        out, into = backbone.model.get_submodule(name).weight.shape
        wanted = ((lora.rank, into), (out, lora.rank))
        if (tuple(a.shape), tuple(b.shape)) != wanted:
            raise UserError(
                f"{folder / WEIGHTS}: {name}: expected {wanted[0]} and {wanted[1]},"
                f" found {tuple(a.shape)} and {tuple(b.shape)}.",
                hint="It belongs to another model.",
            )
    if bank.names != list(lora.pairs) or bank.rank != lora.rank:
        _unwrap(bank, backbone)
        bank.clear()
        bank.rank = lora.rank
        _wrap(bank, backbone, list(lora.pairs), torch.Generator())
    bank.alpha, bank.scale = lora.alpha, lora.alpha / lora.rank
    with torch.no_grad():
        for name, pair in bank.meta().items():
            for into, read in zip(pair, lora.pairs[name], strict=True):
                into.copy_(read)
