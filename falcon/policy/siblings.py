"""Siblings: linear layers that read the same input, as queries, keys and values do.

While decoding, one product serves all of them, and one low-rank product their adapters: a product
of a few rows takes about as long as reading its weight, and each has a price of its own. Which
layers are siblings is seen in a pass, so nothing here knows architectures.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch

from falcon.policy.packing import packed, product

if TYPE_CHECKING:
    from falcon.policy.pairs import Pair, Pairs


class Layer(Protocol):
    """A linear layer with a name: weight [out, in], bias [out]."""

    name: str

    @property
    def weight(self) -> torch.Tensor: ...

    @property
    def bias(self) -> torch.Tensor | None: ...


Add = Callable[[torch.Tensor, torch.Tensor, str, Sequence[int]], torch.Tensor]


class Siblings:
    """Layers with one input, and their weights packed as one: the frozen ones, or with the pair in
    use added (``adapted``)."""

    def __init__(
        self, layers: Sequence[Layer], form: torch.Tensor, *, adapted: bool = False
    ) -> None:
        self.adapted = adapted
        self.names = [layer.name for layer in layers]
        self.key = "+".join(self.names)
        """Under which the joined pair stands beside those of the layers."""
        self._form = form
        self._sizes = [layer.weight.shape[0] for layer in layers]
        self._bias = _joined_bias(layers)
        self._kept = threading.local()

    @classmethod
    def of(
        cls, layers: Sequence[Layer], sums: Sequence[torch.Tensor] | None = None
    ) -> Siblings | None:
        """Of the frozen weights, or of ``sums``, to which the pair in use is added. None where
        weights are not packed."""
        weights = sums or [layer.weight.detach() for layer in layers]
        form = packed(torch.cat(weights))  # type: ignore[arg-type]
        return None if form is None else cls(layers, form, adapted=sums is not None)

    def output(self, name: str, x: torch.Tensor, add: Add) -> torch.Tensor | None:
        """What the layer ``name`` makes of ``x``; None if its first sibling saw another input.

        The first one computes it for all: ``add(y, x, key, sizes)`` adds the low-rank product of
        the joined pair to y [..., sum of out].
        """
        if name == self.names[0]:
            sizes = self._sizes if len(self.names) > 1 else ()
            y = product(x, self._form, self._bias)
            y = y if self.adapted else add(y, x, self.key, sizes)
            parts = zip(self.names, torch.split(y, self._sizes, -1), strict=True)
            self._kept.x, self._kept.parts = x, dict(parts)
        elif getattr(self._kept, "x", None) is not x:
            return None
        part: torch.Tensor = self._kept.parts[name]
        if name == self.names[-1]:
            self._kept.x = self._kept.parts = None
        return part

    def join(self, pairs: Pairs) -> Pair:
        """The pairs of all layers as one: A [n r, in], and B [sum of out, n r] with a block for
        each. Stacked, A [N, n r, in] and B [N, r, sum of out]: there the zeros between blocks would
        take as long to read as the adapters."""
        own = [pairs[name] for name in self.names]
        if len(own) == 1:
            return own[0]
        a = torch.cat([a for a, _ in own], -2)
        if a.dim() == 3:
            return a, torch.cat([b.transpose(1, 2) for _, b in own], -1)
        b = a.new_zeros(sum(self._sizes), a.shape[-2])
        row = column = 0
        for _, part in own:
            out, rank = part.shape[-2:]
            b[row : row + out, column : column + rank] = part
            row, column = row + out, column + rank
        return a, b


def _joined_bias(layers: Sequence[Layer]) -> torch.Tensor | None:
    if all(layer.bias is None for layer in layers):
        return None
    return torch.cat(
        [
            layer.weight.new_zeros(layer.weight.shape[0]) if layer.bias is None else layer.bias
            for layer in layers
        ]
    ).detach()


def seen_in(model: Any, names: Sequence[str]) -> list[list[str]]:
    """Names of layers that read the same tensor one right after the other, in a pass over a token.

    Every layer is in one of the lists; alone, if the model takes more than tokens.
    """
    calls: list[tuple[str, torch.Tensor]] = []

    def noting(name: str) -> Any:
        return lambda _, given: calls.append((name, given[0]))

    hooks = [model.get_submodule(name).register_forward_pre_hook(noting(name)) for name in names]
    try:
        with torch.inference_mode():
            model(input_ids=torch.zeros(1, 1, dtype=torch.long), use_cache=False)
    except (ValueError, TypeError, RuntimeError):  # an encoder-decoder model, say
        return [[name] for name in names]
    finally:
        for hook in hooks:
            hook.remove()
    groups: list[list[str]] = []
    last: torch.Tensor | None = None
    for name, x in calls:
        if x is last and name not in groups[-1]:
            groups[-1].append(name)
        else:
            groups.append([name])
        last = x
    uncalled = set(names) - {name for name, _ in calls}
    return groups + [[name] for name in names if name in uncalled]
