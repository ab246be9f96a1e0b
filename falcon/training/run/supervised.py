"""The supervised updates before Algorithm 1: passes over references by eq. 2.

CodeRL, RLTF and PPOCoder all start from such a checkpoint. The learning rate falls over these
updates and those of the loop together. Nothing is sampled and nothing enters a memory here.
"""

from collections.abc import Sequence

from falcon.problems.problem import Problem
from falcon.training.run.schedule import set_rate
from falcon.training.run.state import TrainingRun
from falcon.training.samplers import UniformSampler


def supervised_updates(run: TrainingRun, problems: Sequence[Problem]) -> int:
    """Make the updates that are not yet in ``run.progress``. Returns how many there are in all.

    Raises UserError when loss or gradient is not finite.
    """
    t, progress = run.settings.train, run.progress
    referenced = [p for p in problems if p.solutions]
    count = -(-t.supervised_epochs * len(referenced) // t.meta.tasks) if referenced else 0
    if progress.supervised >= count:
        return count
    sampler = UniformSampler(referenced, run.settings.seed)
    with run.monitor.progress("supervised updates", count, progress.supervised) as bar:
        for step in range(count):
            batch = sampler.next(t.meta.tasks)
            if step < progress.supervised:
                continue  # done before an interruption; its batch still had to be drawn
            set_rate(run.method.optimizer, t, step, count + t.steps)
            metrics = run.method.supervised_update(step, batch)
            progress.supervised = step + 1
            if progress.supervised % t.checkpoint_every == 0 or progress.supervised == count:
                run.save()
            run.monitor.log(metrics | run.read_clock(), step)
            bar.advance(1, loss=metrics["supervised/loss"])
    return count
