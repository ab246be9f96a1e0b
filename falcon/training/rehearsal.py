"""Rehearsal: the largest pieces of work of a training, done once before it begins.

Rows as long as they may get are begun as in generation, and micro-batches as full as they may
get go forward and back. So a training that does not fit fails at once and not after hours, and
the memory it took is what the training will take. No weight moves and no random number is drawn.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from falcon.errors import UserError
from falcon.policy.generate import adapted
from falcon.training.inner_loop import adapt, outer_gradient, tensors
from falcon.training.losses import LOSSES, Item, items_of, loss_batches
from falcon.training.losses import Sample as LossSample

if TYPE_CHECKING:
    from falcon.config import Settings
    from falcon.policy.policy import Policy

MIB = 1 << 20


@dataclass(frozen=True)
class Memory:
    """Bytes of the device (of the process, on a CPU): ``loaded`` before any work, and the most
    while ``generation`` and the ``update`` were rehearsed. ``device`` is ``cpu`` or ``cuda``."""

    device: str
    loaded: int
    generation: int
    update: int

    def __str__(self) -> str:
        parts = {"loaded": self.loaded, "generation": self.generation, "update": self.update}
        said = ", ".join(f"{name} {size / MIB:.0f} MiB" for name, size in parts.items())
        return f"{said}; at most {self.peak / MIB:.0f} MiB of {self.device}"

    @property
    def peak(self) -> int:
        """The most at any time."""
        return max(self.loaded, self.generation, self.update)


def rehearse(
    settings: Settings, policy: Policy, prompts: Sequence[Sequence[int]], tasks: int
) -> Memory:
    """Do the largest pieces of work once; ``prompts`` are token ids of the training problems.

    ``tasks`` are those of a step that one process has. Raises UserError where the memory of the device is not enough.
    """
    lengths = [tuple(prompt) for prompt in sorted(prompts, key=len)]
    longest = _with_recall(settings, lengths[-1])
    loaded = peak(policy.device)
    try:
        generation = _most(policy, lambda: _begin_rows(settings, policy, longest, tasks))
        update = _most(policy, lambda: _update(settings, policy, (longest, lengths[0]), tasks))
    except (torch.OutOfMemoryError, RuntimeError) as fault:
        # On a CPU it is a plain RuntimeError, if the system says no at all.
        if not isinstance(fault, torch.OutOfMemoryError) and "allocate memory" not in str(fault):
            raise
        raise UserError(
            f"The largest batch does not fit into the memory of the device ({policy.device}).",
            hint="Lower sampling.batch_size or train.micro_batch_tokens, or the longest lengths.",
        ) from fault
    forget_peak(policy.device)
    return Memory(policy.device.type, loaded, generation, update)


def peak(device: torch.device) -> int:
    """The most bytes of the device that this process held so far."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def forget_peak(device: torch.device) -> None:
    """Let :func:`peak` count from now, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # The peak then is that of the whole process, which is not less.


def _most(policy: Policy, work: Callable[[], None]) -> int:
    gc.collect()
    forget_peak(policy.device)
    work()
    return peak(policy.device)


def _with_recall(settings: Settings, prompt: tuple[int, ...]) -> tuple[int, ...]:
    """The longest prompt with as much recalled text before it as there may be."""
    m = settings.memory
    more = m.recall_tokens if m.top_k and m.at in ("train", "both") else 0
    length = min(settings.policy.max_prompt_tokens, len(prompt) + more)
    return prompt[:1] * max(0, length - len(prompt)) + prompt


def _begin_rows(settings: Settings, policy: Policy, prompt: tuple[int, ...], tasks: int) -> None:
    """As many rows as are generated together, at the length where the last token is drawn."""
    meta, s = settings.train.meta, settings.sampling
    fast = policy.bank.stack(tasks) if meta.order and meta.evaluate_with == "adapted" else None
    for samples, pairs in ((meta.samples, None), (meta.evaluation_samples, fast)):
        count = max(1, min(tasks, s.batch_size // samples))
        with policy.whole(), torch.inference_mode(), adapted(policy, pairs) as used:
            rows = torch.arange(count, device=policy.device) if pairs is not None else None
            state = policy.start([prompt] * count, samples, used, rows)
            state.reserve(s.max_new_tokens)
            state.advance(state.logits.argmax(-1))


def _update(
    settings: Settings, policy: Policy, prompts: Sequence[tuple[int, ...]], tasks: int
) -> None:
    """Inner and outer step on the fullest micro-batch; for order 2, whose graph is one, on all."""
    order = settings.train.meta.order
    try:
        for prompt in prompts:
            items = [item for task in range(tasks) for item in _items(settings, task, prompt)]
            if order != 2:
                largest = loss_batches(items, settings)[0]
                items = [items[tag] for row in largest for tag in row.tags]
            fast = adapt(policy, items, tasks, settings)[0] if order else None
            outer_gradient(policy, items, fast, settings)
        # What the optimiser keeps of every weight: two means.
        _ = [torch.zeros_like(t) for t in tensors(policy.bank.meta()) for _ in range(2)]
    finally:
        for parameter in policy.bank.parameters():
            parameter.grad = None


def _items(settings: Settings, task: int, prompt: tuple[int, ...]) -> list[Item]:
    """The longest mini-batch of a task: every sample ends at the limit."""
    meta, length = settings.train.meta, settings.sampling.max_new_tokens
    completion = (prompt[0],) * length
    rows = torch.zeros(len(LOSSES), length)
    rows[1] = 1.0
    count = max(meta.samples + meta.evaluation_samples - meta.samples // 2, 1)
    return items_of(task, [LossSample(prompt, completion, rows)] * count)
