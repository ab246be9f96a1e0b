"""The training loop: repeat the method's iteration, validate, checkpoint, resume, finish.

theta_final (eq. 5) is the best meta-checkpoint on the validation problems. Runs under
``accelerate``, in one process or several (:mod:`falcon.training.run.process_group`). Trackers are behind the
monitor.
"""

from __future__ import annotations

import csv
import hashlib
import logging
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from falcon.errors import UserError
from falcon.feedback import make_judge
from falcon.files import replaced_file
from falcon.generation.local import Draws, Sampling, Weights
from falcon.memory import LongTermMemory
from falcon.policy.adapter import load_adapter
from falcon.policy.policy import Policy
from falcon.problems.problem import HELD_OUT, Problem, Split
from falcon.rollout import Solver, outcome_metrics, spread
from falcon.sandbox import Sandbox
from falcon.training.adapt_on_recall import adapted_weights
from falcon.training.methods.mrlf import Mrlf
from falcon.training.run import checkpoint
from falcon.training.run.checkpoint import Progress
from falcon.training.run.memory_check import (
    MIB,
    DeviceMemory,
    check_memory,
    measure_likely_step,
    peak,
)
from falcon.training.run.process_group import ProcessGroup
from falcon.training.run.schedule import set_rate
from falcon.training.run.supervised import supervised_updates
from falcon.training.samplers import make_sampler

if TYPE_CHECKING:
    from falcon.config import Settings
    from falcon.monitor import Monitor

logger = logging.getLogger("falcon.training")


@dataclass(frozen=True)
class TrainResult:
    """The trained adapter (PEFT folder with tokenizer), final metrics, and a row a step."""

    policy: Path
    metrics: dict[str, float]
    curves: Path
    best_step: int


def training_digest(settings: Settings, problems: Sequence[Problem], memory_digest: str) -> str:
    """What a checkpoint belongs to: the settings and inputs that change its numbers."""
    unused = {"benchmark", "gate", "tracking", "profile", "rollout", "machine"}
    used = settings.model_dump_json(exclude=unused)
    state = hashlib.sha256(used.encode())
    for problem in sorted(problems, key=lambda p: p.id):
        state.update(problem.model_dump_json().encode())
    state.update(memory_digest.encode())
    return state.hexdigest()[:16]


def train(
    settings: Settings,
    problems: Sequence[Problem],
    *,
    memory: LongTermMemory,
    out: Path,
    checkpoints: Path,
    monitor: Monitor,
    run_id: str = "",
) -> TrainResult:
    """Train the policy on the problems of the training splits; write ``out/policy`` and curves.

    ``memory`` is open for writing and gets every experience. A checkpoint found in
    ``checkpoints`` is resumed; the caller removes it when the result is safe. Several processes
    share ``checkpoints``; each has its own memory, with the same contents, and its own ``out``.
    Raises UserError for a checkpoint of other settings or inputs, a loss that is not finite, no
    problems, or more processes than tasks of a step.
    """
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    processes = ProcessGroup(accelerator)
    split = settings.machine.shard or accelerator.distributed_type == "FSDP"
    _require_processes(processes, accelerator.distributed_type, settings.train.meta.tasks)
    digest = training_digest(settings, problems, memory.digest())
    settings = _of_one(settings, processes)
    since = time.perf_counter()
    policy = _loaded(settings)
    if split and processes.size > 1:
        _split(settings, policy, processes)
    loading = time.perf_counter() - since
    training, valid = _divided(settings, policy, problems)
    device_memory = _check_memory(settings, policy, training, processes.size)
    logger.info("memory: %s", device_memory)
    # What is trained is whole in every process: no wrapper of the accelerator has a part in it.
    optimizer = torch.optim.AdamW(
        policy.bank.parameters(),
        lr=settings.train.learning_rate,
        weight_decay=settings.train.weight_decay,
    )
    with Sandbox(settings) as sandbox:
        solver = Solver(settings, policy, sandbox, make_judge(settings.feedback))
        method = Mrlf(
            settings,
            solver,
            sampler=make_sampler(settings, training, memory),
            long_term=memory,
            problems=training,
            optimizer=optimizer,
            processes=processes,
        )
        processes.barrier()  # The first process may have removed checkpoints that are not wanted.
        progress = _resume(checkpoints, digest, run_id, method, memory)
        solver.clock.seconds["load"] = loading
        spent: Counter[str] = Counter()
        save = partial(_save, settings, method, progress, checkpoints)
        supervised = supervised_updates(settings, method, progress, training, save, monitor, spent)
        _repeat(settings, method, progress, valid, checkpoints, monitor, supervised, spent)
    return _finish(
        policy, progress, out, checkpoints, {**spent, "processes": float(processes.size)}
    )


def dry_run(settings: Settings, problems: Sequence[Problem]) -> DeviceMemory:
    """What a training of these settings takes of the device's memory, without training.

    Raises UserError where it does not fit, and for no problems.
    """
    policy = _loaded(settings)
    training, _ = _divided(settings, policy, problems)
    prompts_of_all, tasks = _asked(settings, policy, training, settings.machine.processes)
    # First the likely step: memory that the largest batches take is not given back.
    likely = measure_likely_step(settings, policy, prompts_of_all, tasks)
    return replace(check_memory(settings, policy, prompts_of_all, tasks), likely=likely)


def _loaded(settings: Settings) -> Policy:
    second_order = settings.train.meta.order == 2
    policy = Policy.load(settings.policy, seed=settings.seed, second_order=second_order)
    if settings.train.gradient_checkpointing:
        policy.recompute()
    return policy


def _divided(
    settings: Settings, policy: Policy, problems: Sequence[Problem]
) -> tuple[list[Problem], list[Problem]]:
    """Problems to train on and to validate on, of those whose prompts are short enough."""
    usable = [p for p in problems if policy.prompts.fits(p)]
    training = [p for p in usable if p.split not in HELD_OUT]
    valid = [p for p in usable if p.split is Split.VALID]
    if not training:
        raise UserError(
            "No problem to train on.", hint="Check data.sources and policy.max_prompt_tokens."
        )
    return training, spread(valid, settings.train.validation_problems)


def _check_memory(
    settings: Settings, policy: Policy, problems: Sequence[Problem], processes: int
) -> DeviceMemory:
    return check_memory(settings, policy, *_asked(settings, policy, problems, processes))


def _asked(
    settings: Settings, policy: Policy, problems: Sequence[Problem], processes: int
) -> tuple[list[tuple[int, ...]], int]:
    """The prompts of all problems, and the tasks of a step that one process has."""
    tasks = -(-min(settings.train.meta.tasks, len(problems)) // processes)
    return [policy.prompts.encode(p) for p in problems], tasks


def _require_processes(processes: ProcessGroup, kind: str, tasks: int) -> None:
    if kind in ("DEEPSPEED", "MEGATRON_LM"):
        raise UserError(
            f"train was launched with {kind}, which would split the weights its own way.",
            hint="Use launch/machine.yaml or launch/fsdp.yaml: machine.shard splits the backbone by FSDP.",
        )
    wanted = int(os.environ.get("WORLD_SIZE", "1"))
    if processes.size != wanted:
        raise UserError(
            f"train was launched as {wanted} processes, which do not see each other.",
            hint="Start them by machine.processes, torch.distributed.run or accelerate launch.",
        )
    if processes.size > tasks:
        raise UserError(
            f"train was launched as {processes.size} processes for {tasks} tasks a step.",
            hint="Raise train.meta.tasks, or launch fewer.",
        )


def _split(settings: Settings, policy: Policy, processes: ProcessGroup) -> None:
    """Split the backbone; UserError where processes would not make the same passes."""
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


def _of_one(settings: Settings, processes: ProcessGroup) -> Settings:
    """The settings of one process of a training: its share of the sandbox's workers."""
    workers = max(1, settings.machine.workers // processes.size)
    return settings.changed({"machine.workers": workers})


def _resume(
    checkpoints: Path, digest: str, run_id: str, method: Mrlf, memory: LongTermMemory
) -> Progress:
    folder = checkpoint.latest(checkpoints)
    if folder is None:
        return Progress(run_id=run_id, digest=digest)
    progress = checkpoint.read_progress(folder)
    if progress.digest != digest:
        raise UserError(
            f"{folder}: the checkpoint belongs to other settings, data or memory.",
            hint=f"Undo the change to go on with it, or remove {checkpoints} to start anew.",
        )
    checkpoint.restore(folder, method.policy, method.optimizer)
    method.sampler.position = progress.sampler
    memory.append(progress.experiences)
    method.short_term.clear()
    method.short_term.record(progress.short_term)
    return progress


def _save(settings: Settings, method: Mrlf, progress: Progress, checkpoints: Path) -> None:
    if method.processes.is_first:
        keep = settings.train.keep_checkpoints
        checkpoint.save(checkpoints, progress, method.policy, method.optimizer, keep)
    method.processes.barrier()


def _repeat(
    settings: Settings,
    method: Mrlf,
    progress: Progress,
    valid: Sequence[Problem],
    checkpoints: Path,
    monitor: Monitor,
    supervised: int,
    spent: Counter[str],
) -> None:
    """Iterate to the last step; ``supervised`` updates were made before the first."""
    t = settings.train
    clock = method.solver.clock
    with monitor.progress("train", t.steps) as bar:
        bar.advance(progress.step)
        while progress.step < t.steps:
            step = progress.step
            done = supervised + step
            set_rate(method.optimizer, settings.train, done, supervised + t.steps)
            metrics, experiences = method.iterate(step)
            since = time.perf_counter()
            method.long_term.append(experiences)
            clock.add("log", since)
            progress.experiences += experiences
            progress.short_term = list(method.short_term)
            progress.step, progress.sampler = step + 1, method.sampler.position
            if (
                valid
                and t.validate_every
                and (progress.step % t.validate_every == 0 or progress.step == t.steps)
            ):
                metrics |= _validate(settings, method, valid, progress, checkpoints, monitor)
            since = time.perf_counter()
            progress.history.append({"step": float(step), **metrics})
            if progress.step % t.checkpoint_every == 0 or progress.step == t.steps:
                _save(settings, method, progress, checkpoints)
            clock.add("log", since)
            times = clock.read()
            spent.update(times)
            held = {"memory/peak_mib": peak(method.policy.device) / MIB}
            since = time.perf_counter()
            monitor.log(metrics | times | held, step)
            clock.add("log", since)  # counted with the next step
            bar.advance(
                1,
                reward=metrics["reward/tests"],
                passed=metrics["verdict/pass"],
                tokens_per_s=metrics["tokens/drawn"] / max(times.get("time/generate", 0.0), 1e-9),
            )


def _validate(
    settings: Settings,
    method: Mrlf,
    valid: Sequence[Problem],
    progress: Progress,
    checkpoints: Path,
    monitor: Monitor,
) -> dict[str, float]:
    """Greedy score on held-out problems, adapted where recall enters the weights; the best adapter is
    kept (eq. 5)."""
    processes = method.processes
    problems = [valid[place] for place in processes.share(len(valid))]
    clock = method.solver.clock
    # Processes that share a backbone have to make the same passes, so they take all at once.
    at_once = settings.train.meta.tasks if processes.size == 1 else 0
    fast = adapted_weights(
        method.policy,
        settings,
        problems,
        method.long_term,
        "eval",
        at_once=at_once,
        clock=clock,
    )
    own = method.solver.attempt(
        problems,
        Draws(Sampling.of(settings.sampling).greedy()),
        memory=method.long_term,
        phase="eval",
        weights=Weights(fast),
        monitor=monitor,
    )
    metrics = outcome_metrics([a for group in processes.gather_shares(own) for a in group])
    score = metrics["reward/tests"]
    if score > progress.best_score:
        progress.best_score, progress.best_step = score, progress.step
        if processes.is_first:
            checkpoint.write_folder(checkpoints / "best", method.policy.save)
        processes.barrier()
    return {f"valid/{name}": value for name, value in metrics.items()}


def _finish(
    policy: Policy,
    progress: Progress,
    out: Path,
    checkpoints: Path,
    times: Mapping[str, float],
) -> TrainResult:
    best = checkpoints / "best"
    if progress.best_step >= 0 and best.is_dir():
        load_adapter(policy.bank, best)
    checkpoint.write_folder(out / "policy", policy.save)
    curves = write_curves(out / "curves.csv", progress.history)
    tail = progress.history[-max(1, len(progress.history) // 4) :]
    names = [n for n in (tail[-1] if tail else {}) if not n.startswith("valid/") and n != "step"]
    metrics = {f"last/{n}": sum(row.get(n, 0.0) for row in tail) / len(tail) for n in names}
    metrics |= {"steps": float(progress.step), "best_step": float(progress.best_step)}
    if progress.best_step >= 0:
        metrics["valid/best_reward"] = progress.best_score
    return TrainResult(out / "policy", {**metrics, **times}, curves, progress.best_step)


def write_curves(path: Path, history: Sequence[Mapping[str, float]]) -> Path:
    """A CSV with one row a step; columns that a step did not measure are empty."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    with (
        replaced_file(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows({k: f"{v:.9g}" for k, v in row.items()} for row in history)
    return path
