"""Recall into the weights: theta_i for a task without test results.

Algorithm 1 adapts theta to a task on a mini-batch of both memories. Where a model is used, no
samples of the task have been run, so short-term memory is empty. What is left is what long-term
memory recalls for the task (eq. 6). Recalled programs that passed count as ground truth: inner
steps (eq. 3) on their supervised loss (eq. 2) give theta_i. Training makes its inner mini-batch
the same way, so theta is trained for this. Nothing of the task's own solution or tests enters, and
nothing is kept: the next task starts from theta.
"""

import time
from collections.abc import Sequence

import torch

from falcon.config import Settings
from falcon.memory import LongTermMemory
from falcon.memory.recall import recall_hits, recalls_in
from falcon.policy.pairs import Pairs, cast
from falcon.policy.policy import Policy
from falcon.problems.problem import Problem
from falcon.rollout import Clock, Phase
from falcon.training.batches.items import Item, Sample, items_of, sl_sample
from falcon.training.inner_loop import adapt


def into_weights(settings: Settings, memory: LongTermMemory | None, phase: Phase) -> bool:
    """Whether what ``memory`` recalls enters the weights in this phase."""
    m = settings.memory
    return m.into == "weights" and recalls_in(m, phase) and memory is not None and len(memory) > 0


def recalled_samples(
    policy: Policy, settings: Settings, problem: Problem, memory: LongTermMemory, phase: Phase
) -> list[Sample]:
    """Up to ``memory.top_k`` recalled programs as supervised samples, each for its own prompt.

    One program a task. None of ``problem`` itself, in an evaluation none of the same statement
    under another name either, and none whose task is longer than a prompt may be.
    """
    hits = recall_hits(
        memory,
        problem.statement,
        settings.memory,
        exclude={problem.id},
        unseen=phase == "eval",
        passing=True,
    )
    samples = []
    for experience in (hit.experience for hit in hits):
        task = experience.problem()
        prompt = policy.prompts.fit(task)
        if prompt is not None:
            target = policy.form.target(task, experience.program)
            samples.append(sl_sample(policy, prompt, target))
    return samples


def adapted_weights(
    policy: Policy,
    settings: Settings,
    problems: Sequence[Problem],
    memory: LongTermMemory | None,
    phase: Phase,
    *,
    at_once: int = 0,
    clock: Clock | None = None,
) -> Pairs | None:
    """theta_i of each problem, stacked [N, ...] in the backbone's precision.

    None where the settings leave every theta_i at theta; a problem for which nothing is recalled
    keeps theta. ``at_once`` tasks adapt together (0: all); ``clock`` counts the time.
    """
    if memory is None or not into_weights(settings, memory, phase):
        return None
    if settings.train.meta.inner_lr == 0:
        return None
    # No gradient is taken through these steps, so they need no graph.
    first_order = settings.changed({"train.meta.order": 1})
    width = at_once or max(len(problems), 1)
    stacks: list[Pairs] = []
    for first in range(0, max(len(problems), 1), width):
        part = problems[first : first + width]
        since = time.perf_counter()
        items: list[Item] = []
        for task, problem in enumerate(part):
            items += items_of(task, recalled_samples(policy, settings, problem, memory, phase))
        if clock:
            clock.add("recall", since)
        since = time.perf_counter()
        # A process without problems takes part all the same: the backbone may be split.
        fast, _ = adapt(policy, items, max(len(part), 1), first_order)
        assert fast is not None
        stacks.append(cast(fast, policy.compute_dtype))
        if clock:
            clock.add("adapt", since)
    return {  # parts [n, ...] -> all tasks [N, ...]
        name: (torch.cat([s[name][0] for s in stacks]), torch.cat([s[name][1] for s in stacks]))
        for name in stacks[0]
    }
