"""The rollout stage: what the policy does with the training problems, before training."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from falcon.errors import UserError
from falcon.feedback import make_judge
from falcon.generation.completion import Draws, Sampling, Weights
from falcon.memory.experience import Experience, Origin
from falcon.problems.problem import HELD_OUT
from falcon.rollout.attempt import Solver
from falcon.rollout.metrics import outcome_metrics
from falcon.rollout.records import attempt_row
from falcon.sandbox import Sandbox

if TYPE_CHECKING:
    import pandas as pd

    from falcon.config import Settings
    from falcon.memory import LongTermMemory
    from falcon.monitor import Monitor
    from falcon.problems.problem import Problem


@dataclass(frozen=True)
class RolloutResult:
    """What the rollout stage gives: a row a sample, the experiences, the means."""

    frame: pd.DataFrame
    experiences: list[Experience]
    metrics: dict[str, float]


def roll_out(
    settings: Settings,
    problems: Sequence[Problem],
    *,
    memory: LongTermMemory,
    monitor: Monitor,
    start: Path | None = None,
) -> RolloutResult:
    """Attempt ``rollout.problems`` training problems (0: all), ``rollout.samples`` times each.

    What training starts from writes: the adapter ``start``, or the bare backbone. Raises UserError when no problem is of a training split.
    """
    import pandas as pd

    from falcon.generation.make import make_generator
    from falcon.policy.policy import Policy

    training = [p for p in problems if p.split not in HELD_OUT]
    if not training:
        raise UserError(
            "No problem of split train or demo.", hint="Check data.sources and data.difficulties."
        )
    since = time.perf_counter()
    policy = Policy.load(settings.policy, adapter=start, seed=settings.seed)
    loading = time.perf_counter() - since
    chosen = spread([p for p in training if policy.prompts.fits(p)], settings.rollout.problems)
    with Sandbox(settings) as sandbox:
        generator = make_generator(settings.policy, policy)
        solver = Solver(settings, generator, sandbox, make_judge(settings.feedback))
        solver.clock.seconds["load"] = loading
        groups = solver.attempt(
            chosen,
            Draws(Sampling.of(settings.sampling), settings.rollout.samples, settings.seed),
            memory=memory,
            phase="train",
            # A new adapter is small, but it is not zero.
            weights=Weights(use_adapter=start is not None),
            monitor=monitor,
        )
        attempts = [a for group in groups for a in group]
        times = solver.clock.read()
    origin = Origin(stage="rollout", policy=policy.digest() if start else "base")
    return RolloutResult(
        frame=pd.DataFrame([attempt_row(a) for a in attempts]),
        experiences=[a.experience(origin) for a in attempts if a.judged],
        metrics=outcome_metrics(attempts) | times,
    )


def spread(problems: Sequence[Problem], limit: int) -> list[Problem]:
    """``limit`` problems evenly spread over the sequence (0: all), in order."""
    if limit <= 0 or limit >= len(problems):
        return list(problems)
    return [problems[i * len(problems) // limit] for i in range(limit)]
