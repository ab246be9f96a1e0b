"""Experiences of long-term memory as samples of a mini-batch.

Their rewards are those they were given then, less the mean of what the memory holds of the same
problem. A remembered program was drawn by another policy, and nothing corrects for it: by default
only programs that passed are trained on, as in self-imitation (Oh et al., 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from falcon.training.objectives import Sample, baselines, less, memory_sample

if TYPE_CHECKING:
    import numpy as np

    from falcon.memory import LongTermMemory
    from falcon.problems.problem import Problem
    from falcon.rollout import Solver

_GROUP = 16
"""Experiences of a problem that a baseline is taken from, at most."""


def remembered(
    memory: LongTermMemory,
    solver: Solver,
    problems: Mapping[str, Problem],
    rng: np.random.Generator,
) -> list[Sample]:
    """Up to ``meta.long_batch`` experiences of any of ``problems`` (by id), drawn uniformly.

    Fewer where the memory has fewer, or holds problems that are no longer trained on.
    """
    meta, adaptive = solver.settings.train.meta, solver.settings.feedback.adaptive
    passing = meta.remembered == "passing"
    samples = []
    for experience in memory.sample(rng, meta.long_batch, passing=passing):
        problem = problems.get(experience.problem_id)
        if problem is None or not experience.program.strip():
            continue
        group = memory.sample(rng, _GROUP, problem_id=problem.id)
        base = baselines([other.feedback for other in group], meta, adaptive)
        samples.append(
            memory_sample(
                solver.policy,
                solver.policy.prompts.encode(problem),
                solver.policy.form.target(problem, experience.program),
                less(experience.feedback.rewards, base),
                experience.program,
            )
        )
    return samples
