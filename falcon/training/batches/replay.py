"""Replay: experiences of long-term memory as samples of a mini-batch.

They keep the rewards they were given then, less the mean of what the memory holds of the same
problem. Another policy sampled these programs, and nothing corrects for it (no importance ratio):
by default only programs that passed are trained on, as in self-imitation (Oh et al., 2018).
"""

from collections.abc import Mapping

import numpy as np

from falcon.config import Settings
from falcon.memory import LongTermMemory
from falcon.policy.policy import Policy
from falcon.problems.problem import Problem
from falcon.training.advantages import advantages, baselines
from falcon.training.batches.items import Sample, experience_sample

_GROUP = 16
"""Experiences of a problem that a baseline is taken from, at most."""


def replay_samples(
    memory: LongTermMemory,
    policy: Policy,
    settings: Settings,
    problems: Mapping[str, Problem],
    rng: np.random.Generator,
) -> list[Sample]:
    """Up to ``meta.long_batch`` experiences of any of ``problems`` (by id), drawn uniformly.

    Fewer where the memory has fewer, or holds problems that are no longer trained on.
    """
    meta, adaptive = settings.train.meta, settings.feedback.adaptive
    passing = meta.remembered == "passing"
    samples = []
    for experience in memory.sample(rng, meta.long_batch, passing=passing):
        problem = problems.get(experience.problem_id)
        if problem is None or not experience.program.strip():
            continue
        # The baseline is of all programs: among those that passed, a pass would be worth nothing.
        group = memory.sample(rng, _GROUP, problem_id=problem.id)
        baseline = baselines([other.feedback for other in group], meta, adaptive)
        prompt = policy.prompts.encode(problem)
        answer = policy.form.target(problem, experience.program)
        rewards = advantages(experience.feedback.rewards, baseline)
        samples.append(experience_sample(policy, prompt, answer, rewards, experience.program))
    return samples
