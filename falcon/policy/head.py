"""The output head: the layer that makes logits of the model's last states.

Logits of a vocabulary of 150,000 tokens, their gradient and its copies would be most of what a
training holds. So :meth:`Head.score` makes them for some tokens at a time and keeps, of each token,
only how its log-probability changes with the state under it: the head is frozen. Where the nucleus
is narrow that concerns a few rows of the head, which also saves the product with all of them.

Shapes: P tokens, H width of the model, V vocabulary, K tokens of a narrow nucleus.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from falcon.policy.nucleus import entropy, log_prob, narrow
from falcon.policy.packing import packed, product

_TOKENS = {"cpu": 128}
"""Tokens whose logits are there at a time; 512 elsewhere."""


class _Seen(threading.local):
    positions: torch.Tensor | None = None
    states: torch.Tensor | None = None
    keeps: bool = False


class Head:
    """The output head of a model; whoever makes a pass says which positions it sees."""

    def __init__(self, module: torch.nn.Module, config: Any = None, *, once: bool = True) -> None:
        """``config``: of the model. ``once``: gradients are not differentiated again."""
        self._module: Any = module
        self._seen = _Seen()
        self._form: torch.Tensor | None = None
        self._plain: Any = None  # the module's own pass, once another stands in its place
        useful = once and isinstance(module, torch.nn.Linear) and not _bends(config)
        self.is_last: bool | None = None if useful else False
        """Whether logits are what it makes, with nothing after it; None: not tried yet. False as
        well where :meth:`score` is of no use."""
        module.register_forward_pre_hook(self._select)

    def pack(self) -> bool:
        """Let passes without gradients use a packed copy. False where there is none."""
        if self._form is None:
            self._form = packed(self._module.weight)
        if self._plain is None and self._form is not None:
            self._plain, self._module.forward = self._module.forward, self._forward
        return self._form is not None

    def unpack(self) -> None:
        """Give the packed copy up."""
        self._form = None

    def _forward(self, x: torch.Tensor) -> Any:
        if torch.is_grad_enabled() or self._form is None:
            return self._plain(x)
        return product(x, self._form, self._module.bias)

    @contextmanager
    def at(self, index: Sequence[int]) -> Iterator[None]:
        """Let it see only these positions of the flattened rows, as [1, P, H]: most positions
        (prompts, padding) need no logits. In this thread alone."""
        self._seen.positions = torch.tensor(index, device=self._module.weight.device)
        try:
            yield
        finally:
            self._seen.positions = None

    @contextmanager
    def before(self, index: Sequence[int]) -> Iterator[list[torch.Tensor]]:
        """As :meth:`at`, but it sees the first of them alone, and the states [P, H] under all are
        put into the list."""
        found: list[torch.Tensor] = []
        self._seen.keeps = True
        try:
            with self.at(index):
                yield found
            if self._seen.states is not None:
                found.append(self._seen.states)
        finally:
            self._seen.keeps, self._seen.states = False, None

    def _select(self, _: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> Any:
        if self._seen.positions is None:
            return None
        hidden = inputs[0]  # [R, L, H]
        chosen = hidden.reshape(-1, hidden.shape[-1])[self._seen.positions]
        if self._seen.keeps:
            self._seen.states, chosen = chosen, chosen[:1]
        return (chosen.unsqueeze(0), *inputs[1:])

    @torch.no_grad()
    def makes(self, states: torch.Tensor, logits: torch.Tensor) -> bool:
        """Whether ``logits`` [1, V] are what it makes of the first of ``states`` [P, H]."""
        made = torch.nn.functional.linear(states[:1], self._module.weight, self._module.bias)
        close = 1e-4 if logits.dtype == torch.float32 else 1e-2  # another order of the same sums
        return made.shape == logits.shape and torch.allclose(made, logits, rtol=close, atol=close)

    def score(
        self,
        states: torch.Tensor,
        tokens: torch.Tensor,
        temperature: float,
        top_p: float,
        plain: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As :func:`~falcon.policy.nucleus.log_prob` of the logits of ``states`` [P, H], and the
        entropy of each token, [P] both. The gradient reaches ``states``, once."""
        with_slopes = torch.is_grad_enabled() and states.requires_grad
        size = _TOKENS.get(states.device.type, 512)
        values, entropies, slopes = [], [], []
        for part in (slice(at, at + size) for at in range(0, max(1, len(states)), size)):
            value, of_entropy, slope = self._part(
                states[part], tokens[part], plain[part], temperature, top_p, with_slopes
            )
            values.append(value)
            entropies.append(of_entropy)
            slopes.append(slope)
        log_probs = torch.cat(values)
        if with_slopes:
            log_probs = _Known.apply(states, log_probs, torch.cat(slopes))  # type: ignore[no-untyped-call]
        return log_probs, torch.cat(entropies)

    @torch.no_grad()
    def _part(
        self,
        states: torch.Tensor,
        tokens: torch.Tensor,
        plain: torch.Tensor,
        temperature: float,
        top_p: float,
        with_slopes: bool,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log-probabilities [P], entropies [P] and d log p / d state [P, H]."""
        weight: torch.Tensor = self._module.weight
        logits = self._module(states)
        values = torch.zeros(len(states), device=states.device)
        slopes = torch.zeros(states.shape if with_slopes else 0, device=states.device)
        whole, wide = torch.ones_like(plain), torch.zeros_like(plain)
        if top_p < 1:
            part = narrow(logits, tokens, temperature, top_p, plain)
            wide = (part.covered < top_p).logical_and(~plain)
            whole = ~part.rows & ~wide
            values[part.rows] = part.log_probs[part.rows]
            if with_slopes:
                rows = weight[part.ids[part.rows]].float()  # [P, K + 1, H]
                slope = part.slopes(temperature)[part.rows]  # [P, K + 1]
                slopes[part.rows] = torch.bmm(slope.unsqueeze(1), rows).squeeze(1)
        if bool(whole.any()):
            # d log p(t) / d state is (W_t - the mean row of W by p) / T.
            heat = torch.where(plain[whole], 1.0, temperature).unsqueeze(-1)
            log_p = torch.log_softmax(logits[whole].float() / heat, dim=-1)
            values[whole] = log_p.gather(-1, tokens[whole].unsqueeze(-1)).squeeze(-1)
            if with_slopes:
                mean = log_p.exp_().to(weight.dtype) @ weight
                slopes[whole] = (weight[tokens[whole]].float() - mean.float()) / heat
        if bool(wide.any()):
            with torch.enable_grad():
                leaf = logits[wide].requires_grad_(with_slopes)
                value = log_prob(leaf, tokens[wide], temperature, top_p)
            values[wide] = value.detach()
            if with_slopes:
                (gradient,) = torch.autograd.grad(value, leaf, torch.ones_like(value))
                slopes[wide] = (gradient @ weight).float()
        return values, entropy(logits, temperature), slopes


def _bends(config: Any) -> bool:
    """Whether a model caps its logits: small ones hardly change, so a trial may not show it."""
    settings = {} if config is None else config.get_text_config().to_dict()
    return any(value for name, value in settings.items() if "softcap" in name.replace("_", ""))


class _Known(torch.autograd.Function):
    """Values [P] whose gradient with respect to states [P, H] is known already, row by row."""

    @staticmethod
    def forward(
        ctx: Any, states: torch.Tensor, values: torch.Tensor, slopes: torch.Tensor
    ) -> torch.Tensor:
        """The values."""
        ctx.save_for_backward(slopes)
        ctx.dtype = states.dtype
        return values.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """[P] -> [P, H]."""
        (slopes,) = ctx.saved_tensors
        return (gradient.unsqueeze(-1) * slopes).to(ctx.dtype), None, None
