"""The training loop: repeat the method's iteration, validate, checkpoint, resume, finish.

Runs under ``accelerate``, in one process or several (:mod:`falcon.training.process_group`).
Trackers are behind the monitor.
"""

import logging
import time
from collections.abc import Sequence

import torch

from falcon.config import Settings
from falcon.feedback import make_judge
from falcon.generation.make import make_generator
from falcon.memory import LongTermMemory
from falcon.monitor import Monitor, MovingMean
from falcon.problems.problem import Problem
from falcon.rollout import Solver
from falcon.sandbox import Sandbox
from falcon.training.methods import METHODS
from falcon.training.process_group import ProcessGroup
from falcon.training.run import setup
from falcon.training.run.checkpoint import Progress
from falcon.training.run.device_memory import MIB, peak
from falcon.training.run.memory_check import check_memory
from falcon.training.run.result import TrainResult, finish
from falcon.training.run.schedule import set_rate
from falcon.training.run.state import TrainingFolders, TrainingRun, resume
from falcon.training.run.supervised import supervised_updates
from falcon.training.run.validation import validate
from falcon.training.samplers import make_sampler

logger = logging.getLogger("falcon.training")


def train(
    settings: Settings,
    problems: Sequence[Problem],
    *,
    memory: LongTermMemory,
    folders: TrainingFolders,
    monitor: Monitor,
    run_id: str = "",
) -> TrainResult:
    """Train the policy on the problems of the training splits; write ``out/policy`` and curves.

    ``memory`` is open for writing and gets every experience. A checkpoint found in
    ``checkpoints`` is resumed; the caller removes it when the result is safe. Several processes
    share ``checkpoints``; each has its own memory, with the same contents, and its own ``out``.
    Raises UserError for a checkpoint of other settings or inputs, a loss that is not finite, no
    problems, more processes than tasks of a step, or a start of another model or rank.
    """
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    processes = ProcessGroup(accelerator)
    kind = accelerator.distributed_type
    setup.require_processes(processes, kind, settings.train.meta.tasks)
    digest = setup.training_digest(settings, problems, memory.digest(), folders.start)
    settings = setup.settings_of_process(settings, processes)
    since = time.perf_counter()
    with monitor.progress("loading the model", 0):
        policy = setup.load_policy(settings, folders.start)
    if processes.size > 1 and (settings.machine.shard or kind == "FSDP"):
        setup.shard_backbone(settings, policy, processes)
    loading = time.perf_counter() - since
    training, validation = setup.split_problems(settings, policy, problems)
    tasks = setup.tasks_of_process(settings, training, processes.size)
    prompts = [policy.prompts.encode(problem) for problem in training]
    since = time.perf_counter()
    with monitor.progress("measuring memory", 0):
        logger.info("memory: %s", check_memory(settings, policy, prompts, tasks))
    checking = time.perf_counter() - since
    optimizer = setup.make_optimizer(settings, policy)
    judge = make_judge(settings.feedback)
    with Sandbox(settings) as sandbox:
        method = METHODS[settings.train.method](
            Solver(settings, make_generator(settings.policy, policy), sandbox, judge),
            policy=policy,
            sampler=make_sampler(settings, training, memory),
            long_term=memory,
            problems=training,
            optimizer=optimizer,
            processes=processes,
        )
        processes.barrier()  # The first process may have removed checkpoints that are not wanted.
        progress = resume(method, folders.checkpoints, Progress(run_id=run_id, digest=digest))
        method.solver.clock.seconds |= {"load": loading, "memory_check": checking}
        run = TrainingRun(settings, method, progress, folders.checkpoints, monitor)
        repeat(run, validation, supervised_updates(run, training))
    return finish(run, folders.out)


def repeat(run: TrainingRun, validation: Sequence[Problem], supervised: int) -> None:
    """Iterate to the last step; ``supervised`` updates were made before the first."""
    t, progress, clock = run.settings.train, run.progress, run.method.solver.clock
    # A single step has other tasks than the one before, so it says little of where it goes.
    reward, passed = (
        MovingMean(row[name] for row in progress.history)
        for name in ("reward/tests", "verdict/pass")
    )
    with run.monitor.progress("training steps", t.steps, done=progress.step) as bar:
        while progress.step < t.steps:
            step = progress.step
            set_rate(run.method.optimizer, t, supervised + step, supervised + t.steps)
            metrics = _one_step(run, validation)
            times = run.read_clock()
            held = {"memory/peak_mib": peak(run.method.policy.device) / MIB}
            since = time.perf_counter()
            run.monitor.log(metrics | times | held, step)
            clock.add("log", since)  # counted with the next step
            bar.advance(
                1,
                reward=reward.add(metrics["reward/tests"]),
                passed=passed.add(metrics["verdict/pass"]),
                tokens_per_s=metrics["tokens/drawn"] / max(times.get("time/generate", 0.0), 1e-9),
            )


def _one_step(run: TrainingRun, validation: Sequence[Problem]) -> dict[str, float]:
    """One iteration, what it documented, and validation and checkpoint where they are due."""
    t, method, progress = run.settings.train, run.method, run.progress
    clock, step = method.solver.clock, progress.step
    metrics, experiences = method.iterate(step)
    since = time.perf_counter()
    method.long_term.append(experiences)
    clock.add("log", since)
    progress.experiences += experiences
    progress.short_term = list(method.short_term)
    progress.step, progress.sampler = step + 1, method.sampler.position
    if validation and t.validate_every and run.is_due(t.validate_every):
        metrics |= validate(run, validation)
    since = time.perf_counter()
    progress.history.append({"step": float(step), **metrics})
    if run.is_due(t.checkpoint_every):
        run.save()
    clock.add("log", since)
    return metrics
