"""Rehearsal: the largest pieces of work of a training, done once before it begins.

Rows as long as they may get are begun as in generation, and micro-batches as full as they may
get go forward and back. So a training that does not fit fails at once and not after hours, and
the memory it took is the most that the training will take. What it takes with programs as long as
the policy writes them now is less where a step does not fill a micro-batch: :func:`measure_likely_step` writes
some and sees. No weight moves and no global random number is drawn.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from falcon.errors import UserError
from falcon.generation.local import Draws, Sampling, Weights, active_pairs, generate
from falcon.training.batches.items import LOSSES, Item, Sample, items_of
from falcon.training.inner_loop import adapt, outer_gradient, tensors
from falcon.training.objectives import loss_batches

if TYPE_CHECKING:
    from falcon.config import Settings
    from falcon.policy.adapter import Pairs
    from falcon.policy.policy import Policy

MIB = 1 << 20


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes of the device (of the process, on a CPU): ``loaded`` before any work, and the most
    while ``generation`` and the ``update`` were rehearsed. ``device`` is ``cpu`` or ``cuda``.
    ``likely`` is what a step took with programs as the policy writes them now; 0: not seen."""

    device: str
    loaded: int
    generation: int
    update: int
    likely: int = 0

    def __str__(self) -> str:
        parts = {"loaded": self.loaded, "generation": self.generation, "update": self.update}
        said = ", ".join(f"{name} {size / MIB:.0f} MiB" for name, size in parts.items())
        now = (
            f"about {self.likely / MIB:.0f} MiB with programs as they are now, "
            if self.likely
            else ""
        )
        return f"{said}; {now}at most {self.peak / MIB:.0f} MiB of {self.device}"

    @property
    def peak(self) -> int:
        """The most at any time."""
        return max(self.loaded, self.generation, self.update)


def check_memory(
    settings: Settings, policy: Policy, prompts: Sequence[Sequence[int]], tasks: int
) -> DeviceMemory:
    """Do the largest pieces of work once; ``prompts`` are token ids of the training problems.

    ``tasks`` are those of a step that one process has. Raises UserError where the memory of the device is not enough.
    """
    lengths = [tuple(prompt) for prompt in sorted(prompts, key=len)]
    longest = _with_recall(settings, lengths[-1])
    loaded = peak(policy.device)
    with _named(policy):
        generation = _most(policy, lambda: _begin_rows(settings, policy, longest, tasks))
        update = _most(policy, lambda: _update(settings, policy, (longest, lengths[0]), tasks))
    forget_peak(policy.device)
    return DeviceMemory(policy.device.type, loaded, generation, update)


@contextmanager
def _named(policy: Policy) -> Iterator[None]:
    """Too little memory as a UserError that says so."""
    try:
        yield
    except (torch.OutOfMemoryError, RuntimeError) as fault:
        # On a CPU it is a plain RuntimeError, if the system says no at all.
        if not isinstance(fault, torch.OutOfMemoryError) and "allocate memory" not in str(fault):
            raise
        raise UserError(
            f"The largest batch does not fit into the memory of the device ({policy.device}).",
            hint="Lower sampling.batch_size or train.micro_batch_tokens, or the longest lengths.",
        ) from fault


def measure_likely_step(
    settings: Settings, policy: Policy, prompts: Sequence[Sequence[int]], tasks: int
) -> int:
    """Bytes that a step takes on ``tasks`` prompts from the shortest to the longest, evenly
    spread, with programs that the policy writes.

    Raises UserError where the memory of the device is not enough.
    """
    ordered = [tuple(prompt) for prompt in sorted(prompts, key=len)]
    asked = [ordered[(2 * n + 1) * len(ordered) // (2 * tasks)] for n in range(tasks)]
    with _named(policy):
        return _most(policy, lambda: _step(settings, policy, asked))


def _step(settings: Settings, policy: Policy, asked: Sequence[tuple[int, ...]]) -> None:
    """Programs, inner step, programs under the adapted weights, and outer step."""
    meta, sampling = settings.train.meta, Sampling.of(settings.sampling, policy.form.stop)

    def written(samples: int, fast: Pairs | None) -> list[list[tuple[int, ...]]]:
        draws = Draws(sampling, samples, settings.seed)
        made = generate(policy, asked, draws, weights=Weights(fast))
        return [[completion.drawn for completion in group] for group in made]

    def items(groups: Sequence[Sequence[tuple[int, ...]]]) -> list[Item]:
        found = []
        for task, group in enumerate(groups):
            found += _scored(task, asked[task], group)
            # The reference, about as long as a program, and what is remembered of other tasks.
            found += _scored(task, asked[task], [first[task][0]], on_policy=False)
            for other in range(task + 1, task + 1 + meta.long_batch):
                place = other % len(asked)
                found += _scored(task, asked[place], [first[place][0]], on_policy=False)
        return found

    try:
        first = written(meta.samples, None)
        half = meta.samples // 2 if meta.order else 0
        fast = None
        if meta.order:
            fast = adapt(policy, items([g[:half] for g in first]), len(asked), settings)[0]
        after = written(meta.evaluation_samples, fast if meta.evaluate_with == "adapted" else None)
        outer = [[*a[half:], *b] for a, b in zip(first, after, strict=True)]
        outer_gradient(policy, items(outer), fast, settings)
        _ = _moments(policy)
    finally:
        for parameter in policy.bank.parameters():
            parameter.grad = None


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
    more = m.recall_tokens if m.into == "prompt" and m.recalls("train") else 0
    length = min(settings.policy.max_prompt_tokens, len(prompt) + more)
    return prompt[:1] * max(0, length - len(prompt)) + prompt


def _begin_rows(settings: Settings, policy: Policy, prompt: tuple[int, ...], tasks: int) -> None:
    """As many rows as are generated together, at the length where the last token is drawn."""
    meta, s = settings.train.meta, settings.sampling
    fast = policy.bank.stack(tasks) if meta.order and meta.evaluate_with == "adapted" else None
    for samples, pairs in ((meta.samples, None), (meta.evaluation_samples, fast)):
        count = max(1, min(tasks, s.batch_size // samples))
        with policy.whole(), torch.inference_mode(), active_pairs(policy, Weights(pairs)) as used:
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
        _ = _moments(policy)
    finally:
        for parameter in policy.bank.parameters():
            parameter.grad = None


def _moments(policy: Policy) -> list[torch.Tensor]:
    """What the optimiser keeps of every weight: two means."""
    return [torch.zeros_like(t) for t in tensors(policy.bank.meta()) for _ in range(2)]


def _items(settings: Settings, task: int, prompt: tuple[int, ...]) -> list[Item]:
    """The longest mini-batch of a task: every sample ends at the limit."""
    meta = settings.train.meta
    count = max(meta.samples + meta.evaluation_samples - meta.samples // 2, 1)
    return _scored(task, prompt, [(prompt[0],) * settings.sampling.max_new_tokens] * count)


def _scored(
    task: int,
    prompt: tuple[int, ...],
    completions: Sequence[tuple[int, ...]],
    *,
    on_policy: bool = True,
) -> list[Item]:
    """Completions whose every token has a reward; those not ``on_policy`` by the plain model."""
    samples = []
    for completion in completions:
        rows = torch.zeros(len(LOSSES), len(completion))
        rows[1 if on_policy else 0] = 1.0
        samples.append(Sample(prompt, completion, rows, on_policy))
    return items_of(task, samples)
