"""Set-up of a training: its policy, its problems and its processes, checked before any work."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from falcon.config import Settings
from falcon.errors import UserError
from falcon.policy.adapter import adapter_digest
from falcon.policy.policy import Policy
from falcon.problems.problem import HELD_OUT, Problem, Split
from falcon.rollout import spread
from falcon.training.process_group import ProcessGroup


def training_digest(
    settings: Settings, problems: Sequence[Problem], memory_digest: str, start: Path | None
) -> str:
    """What a checkpoint belongs to: the settings and inputs that change its numbers.

    ``start`` is the adapter that the training starts from.
    """
    unused = {"benchmark", "gate", "tracking", "rollout", "machine"}
    state = hashlib.sha256(settings.model_dump_json(exclude=unused).encode())
    for problem in sorted(problems, key=lambda p: p.id):
        state.update(problem.model_dump_json().encode())
    state.update(memory_digest.encode())
    if start is not None:
        state.update(adapter_digest(start).encode())
    return state.hexdigest()[:16]


def load_policy(settings: Settings, start: Path | None = None) -> Policy:
    """The policy to train, at theta as it is in the adapter ``start``, else drawn from the seed."""
    second_order = settings.train.meta.order == 2
    policy = Policy.load(
        settings.policy, adapter=start, seed=settings.seed, second_order=second_order
    )
    if settings.train.gradient_checkpointing:
        policy.recompute()
    return policy


def split_problems(
    settings: Settings, policy: Policy, problems: Sequence[Problem]
) -> tuple[list[Problem], list[Problem]]:
    """Problems to train on and to validate on, of those whose prompts are short enough.

    Raises UserError when there are none to train on.
    """
    usable = [p for p in problems if policy.prompts.fits(p)]
    training = [p for p in usable if p.split not in HELD_OUT]
    validation = [p for p in usable if p.split is Split.VALID]
    if not training:
        raise UserError(
            "No problem to train on.", hint="Check data.sources and policy.max_prompt_tokens."
        )
    return training, spread(validation, settings.train.validation_problems)


def tasks_of_process(settings: Settings, problems: Sequence[Problem], processes: int) -> int:
    """The most tasks of a step that one process has."""
    return -(-min(settings.train.meta.tasks, len(problems)) // processes)


def settings_of_process(settings: Settings, processes: ProcessGroup) -> Settings:
    """The settings of one process of a training: its share of the sandbox's workers."""
    workers = max(1, settings.machine.workers // processes.size)
    return settings.changed({"machine.workers": workers})


def require_processes(processes: ProcessGroup, kind: str, tasks: int) -> None:
    """Raise UserError for a launch that cannot train; ``kind`` is accelerate's name of it."""
    if kind in ("DEEPSPEED", "MEGATRON_LM"):
        raise UserError(
            f"train was launched with {kind}, which would split the weights its own way.",
            hint="Use launch/machine.yaml, or launch/fsdp.yaml to split the backbone.",
        )
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if processes.size != launched:
        raise UserError(
            f"train was launched as {launched} processes, which do not see each other.",
            hint="Start them by machine.processes, torch.distributed.run or accelerate launch.",
        )
    if processes.size > tasks:
        raise UserError(
            f"train was launched as {processes.size} processes for {tasks} tasks a step.",
            hint="Raise train.meta.tasks, or launch fewer.",
        )


def shard_backbone(settings: Settings, policy: Policy, processes: ProcessGroup) -> None:
    """Split the backbone over the processes.

    Raises UserError where they would not make the same passes, each of which gathers weights.
    """
    meta = settings.train.meta
    if meta.order == 2:
        raise UserError(
            "machine.shard: the graph of meta.order 2 holds weights that are no longer there.",
            hint="Set train.meta.order: 1, or machine.shard: false.",
        )
    if meta.baseline == "greedy" and meta.tasks % processes.size:
        raise UserError(
            f"machine.shard: {processes.size} processes cannot write the greedy programs of "
            f"{meta.tasks} tasks side by side.",
            hint="Take a multiple of the processes as train.meta.tasks, or another baseline.",
        )
    policy.shard()


def make_optimizer(settings: Settings, policy: Policy) -> torch.optim.Optimizer:
    """Of the meta weights. The accelerator wraps nothing: every process has all adapters and sums
    gradients by hand."""
    rate, decay = settings.train.learning_rate, settings.train.weight_decay
    return torch.optim.AdamW(policy.bank.parameters(), lr=rate, weight_decay=decay)
