"""Memory check: try the largest batches of a training first, to find out-of-memory early.

Rows as long as they may get are begun as in generation, and micro-batches as full as they may
get go forward and back. So a training that does not fit fails at once and not after hours, and
no later step takes more memory. A step with programs as long as the policy writes them now may
take less: :func:`measure_likely_step` makes such a step. No weight moves, and no global random
number is drawn.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch

from falcon.config import Settings
from falcon.errors import UserError
from falcon.generation.budget import rows_that_fit
from falcon.generation.completion import Draws, Sampling, Weights
from falcon.generation.local import LocalGenerator, active_pairs
from falcon.memory.recall import recalls_in
from falcon.policy.decoding import batch_of
from falcon.policy.decoding_batch import Prompt, Room
from falcon.policy.pairs import Pairs
from falcon.policy.policy import Policy
from falcon.problems.problem import Problem
from falcon.training.batches.items import LOSSES, Ids, Item, Sample, items_of
from falcon.training.inner_loop import adapt, outer_gradient, tensors, update_layout
from falcon.training.objectives import loss_batches
from falcon.training.run.device_memory import DeviceMemory, peak, peak_of, reset_peak
from falcon.training.run.setup import load_policy, split_problems, tasks_of_process


def dry_run(settings: Settings, problems: Sequence[Problem]) -> DeviceMemory:
    """What a training of these settings takes of the device's memory, without training.

    Raises UserError where it does not fit, and for no problems.
    """
    policy = load_policy(settings)
    training, _ = split_problems(settings, policy, problems)
    prompts = [policy.prompts.encode(problem) for problem in training]
    tasks = tasks_of_process(settings, training, settings.machine.processes)
    # The likely step goes first: the process does not give back what the largest batches took.
    likely = measure_likely_step(settings, policy, prompts, tasks)
    return replace(check_memory(settings, policy, prompts, tasks), likely=likely)


def check_memory(
    settings: Settings, policy: Policy, prompts: Sequence[Sequence[int]], tasks: int
) -> DeviceMemory:
    """Try the largest batches; ``prompts`` are token ids of the training problems.

    ``tasks`` are those of a step that one process has. Raises UserError where the memory of the
    device is not enough.
    """
    ordered = [tuple(prompt) for prompt in sorted(prompts, key=len)]
    shortest, longest = ordered[0], _with_recall(settings, ordered[-1])
    device = policy.device
    loaded = peak(device)
    with _out_of_memory_is_named(policy):
        generation = peak_of(lambda: _begin_rows(settings, policy, longest, tasks), device)
        # Short prompts leave room for more completions in a micro-batch, so maybe for more logits.
        update = peak_of(lambda: _update(settings, policy, (longest, shortest), tasks), device)
    reset_peak(device)
    return DeviceMemory(device.type, loaded, generation, update)


def measure_likely_step(
    settings: Settings, policy: Policy, prompts: Sequence[Sequence[int]], tasks: int
) -> int:
    """Bytes that a step takes with programs that the policy writes now.

    Its ``tasks`` prompts are evenly spread from the shortest to the longest. Raises UserError
    where the memory of the device is not enough.
    """
    ordered = [tuple(prompt) for prompt in sorted(prompts, key=len)]
    # The middle of each of `tasks` equal parts.
    chosen = [ordered[(2 * n + 1) * len(ordered) // (2 * tasks)] for n in range(tasks)]
    with _out_of_memory_is_named(policy):
        return peak_of(lambda: _step(settings, policy, chosen), policy.device)


@contextmanager
def _out_of_memory_is_named(policy: Policy) -> Iterator[None]:
    """Raise UserError where the memory of the device is not enough."""
    try:
        yield
    except (torch.OutOfMemoryError, RuntimeError) as fault:
        # On a CPU it is a plain RuntimeError, if the system refuses memory at all.
        if not isinstance(fault, torch.OutOfMemoryError) and "allocate memory" not in str(fault):
            raise
        raise UserError(
            f"The largest batch does not fit into the memory of the device ({policy.device}).",
            hint="Lower sampling.batch_size or train.micro_batch_tokens, or the longest lengths.",
        ) from fault


def _step(settings: Settings, policy: Policy, prompts: Sequence[Ids]) -> None:
    """Programs, inner step, programs under the adapted weights, and outer step."""
    meta = settings.train.meta

    def written(samples: int, fast: Pairs | None) -> list[list[Ids]]:
        draws = Draws(Sampling.of(settings.sampling, policy.form.stop), samples, settings.seed)
        groups = LocalGenerator(policy).generate(prompts, draws, weights=Weights(fast))
        return [[completion.drawn for completion in group] for group in groups]

    def items(groups: Sequence[Sequence[Ids]]) -> list[Item]:
        result = []
        for task, group in enumerate(groups):
            result += _scored(task, prompts[task], group)
            # The reference, about as long as a program, and what is replayed of other tasks.
            result += _scored(task, prompts[task], [first[task][0]], on_policy=False)
            for other in range(task + 1, task + 1 + meta.long_batch):
                place = other % len(prompts)
                result += _scored(task, prompts[place], [first[place][0]], on_policy=False)
        return result

    with _gradients_dropped(policy):
        first = written(meta.samples, None)
        half = meta.samples // 2 if meta.order else 0
        fast = None
        if meta.order:
            fast = adapt(policy, items([g[:half] for g in first]), len(prompts), settings)[0]
        after = written(meta.evaluation_samples, fast if meta.evaluate_with == "adapted" else None)
        outer = [[*a[half:], *b] for a, b in zip(first, after, strict=True)]
        outer_gradient(policy, items(outer), fast, settings)
        _ = _moments(policy)


@contextmanager
def _gradients_dropped(policy: Policy) -> Iterator[None]:
    try:
        yield
    finally:
        for parameter in policy.bank.parameters():
            parameter.grad = None


def _with_recall(settings: Settings, prompt: Ids) -> Ids:
    """The longest prompt with as much recalled text before it as there may be."""
    m = settings.memory
    more = m.recall_tokens if m.into == "prompt" and recalls_in(m, "train") else 0
    length = min(settings.policy.max_prompt_tokens, len(prompt) + more)
    return prompt[:1] * max(0, length - len(prompt)) + prompt


def _begin_rows(settings: Settings, policy: Policy, prompt: Ids, tasks: int) -> None:
    """As many rows as are generated together, at the length where the last token is drawn."""
    meta, s = settings.train.meta, settings.sampling
    fast = policy.bank.stack(tasks) if meta.order and meta.evaluate_with == "adapted" else None
    for samples, pairs in ((meta.samples, None), (meta.evaluation_samples, fast)):
        draws = Draws(Sampling.of(s, ()), samples, settings.seed)
        with (
            policy.gathered(),
            torch.inference_mode(),
            active_pairs(policy, Weights(pairs)) as used,
        ):
            count = max(1, min(tasks, rows_that_fit(policy, [prompt], draws) // samples))
            room = Room(count, count * samples, len(prompt))
            batch = batch_of(policy, used, room)
            _, logits = batch.add([Prompt(prompt, samples, i) for i in range(count)])
            batch.lengthen(s.max_new_tokens - 1)
            batch.advance(logits.argmax(-1))


def _update(settings: Settings, policy: Policy, prompts: Sequence[Ids], tasks: int) -> None:
    """The outer step on the fullest micro-batch, which takes no less than the inner one. For order
    2, whose graph is one, both on all."""
    order = settings.train.meta.order
    with _gradients_dropped(policy):
        for prompt in prompts:
            items = [item for task in range(tasks) for item in _items(settings, task, prompt)]
            if order != 2:
                batches = loss_batches(items, settings, packed=policy.packs)
                at_once = update_layout(policy, len(batches)).lanes
                rows = [row for batch in batches[:at_once] for row in batch]
                items = [items[tag] for row in rows for tag in row.tags]
            fast = policy.bank.stack(tasks) if order == 1 else None
            if order == 2:
                fast = adapt(policy, items, tasks, settings)[0]
            outer_gradient(policy, items, fast, settings)
            if policy.head.is_last:  # logits of all completions are never there: as many tokens
                break
        _ = _moments(policy)


def _moments(policy: Policy) -> list[torch.Tensor]:
    """What the optimizer keeps of every weight: two means."""
    return [torch.zeros_like(t) for t in tensors(policy.bank.meta()) for _ in range(2)]


def _items(settings: Settings, task: int, prompt: Ids) -> list[Item]:
    """The longest mini-batch of a task: every sample ends at the limit."""
    meta = settings.train.meta
    count = max(meta.samples + meta.evaluation_samples - meta.samples // 2, 1)
    return _scored(task, prompt, [(prompt[0],) * settings.sampling.max_new_tokens] * count)


def _scored(
    task: int, prompt: Ids, completions: Sequence[Ids], *, on_policy: bool = True
) -> list[Item]:
    """Completions with a reward at every token; those not ``on_policy`` are references."""
    samples = []
    for completion in completions:
        rows = torch.zeros(len(LOSSES), len(completion))  # [J, T]
        rows[1 if on_policy else 0] = 1.0
        samples.append(Sample(prompt, completion, rows, on_policy))
    return items_of(task, samples)
