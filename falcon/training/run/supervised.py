"""The supervised updates before Algorithm 1: passes over references by eq. 2.

CodeRL, RLTF and PPOCoder all start from such a checkpoint. The learning rate falls over these
updates and those of the loop together. Nothing is sampled and nothing enters a memory here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from falcon.training.run.schedule import set_rate
from falcon.training.samplers import UniformSampler

if TYPE_CHECKING:
    from falcon.config import Settings
    from falcon.monitor import Monitor
    from falcon.problems.problem import Problem
    from falcon.training.methods.mrlf import Mrlf
    from falcon.training.run.checkpoint import Progress


def supervised_updates(
    settings: Settings,
    method: Mrlf,
    progress: Progress,
    problems: Sequence[Problem],
    save: Callable[[], None],
    monitor: Monitor,
    spent: Counter[str],
) -> int:
    """Make the updates that ``progress`` has not seen yet; how many there are in all.

    ``save`` writes a checkpoint of the progress; ``spent`` counts this process's seconds by kind.
    Raises UserError when loss or gradient is not finite.
    """
    t = settings.train
    taught = [p for p in problems if p.solutions]
    count = -(-t.supervised_epochs * len(taught) // t.meta.tasks) if taught else 0
    if progress.supervised >= count:
        return count
    sampler = UniformSampler(taught, settings.seed)
    with monitor.progress("supervised", count) as bar:
        bar.advance(progress.supervised)
        for step in range(count):
            batch = sampler.next(t.meta.tasks)
            if step < progress.supervised:
                continue  # done before an interruption
            set_rate(method.optimizer, t, step, count + t.steps)
            metrics = method.supervised_update(step, batch)
            progress.supervised = step + 1
            if progress.supervised % t.checkpoint_every == 0 or progress.supervised == count:
                save()
            times = method.solver.clock.read()
            spent.update(times)
            monitor.log(metrics | times, step)
            bar.advance(1, loss=metrics["supervised/loss"])
    return count
