"""Engine: what every training method needs, whatever one iteration of it does.

Attempts shared out over the processes, supervised samples, and the move of theta by gradients. A
method (:mod:`falcon.training.methods`) derives from it and adds ``iterate``.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch

from falcon.errors import UserError
from falcon.generation.completion import META_WEIGHTS, Draws, Sampling, Weights
from falcon.memory import Experience, LongTermMemory, ShortTermMemory
from falcon.policy.policy import Policy
from falcon.problems.problem import Problem
from falcon.rollout import Attempt, Solver
from falcon.training.batches.items import Sample, items_of, sl_sample
from falcon.training.inner_loop import outer_gradient, tensors
from falcon.training.objectives import LossReport, merge
from falcon.training.process_group import ProcessGroup
from falcon.training.samplers import Sampler

_HINT = "The last checkpoint is whole; lower train.learning_rate or train.meta.inner_lr."


class Engine(ABC):
    """A policy, both memories, the optimizer of theta, and the processes that train together."""

    def __init__(
        self,
        solver: Solver,
        *,
        policy: Policy,
        sampler: Sampler,
        long_term: LongTermMemory,
        problems: Sequence[Problem],
        optimizer: torch.optim.Optimizer,
        processes: ProcessGroup | None = None,
    ) -> None:
        self.settings = settings = solver.settings
        self.meta = settings.train.meta
        self.solver = solver
        self.policy = policy
        self.sampler = sampler
        self.long_term = long_term
        self.short_term = ShortTermMemory(settings.memory.short_term_cap)
        self.by_id = {p.id: p for p in problems}
        self.optimizer = optimizer
        self.processes = processes or ProcessGroup()

    @abstractmethod
    def iterate(self, step: int) -> tuple[dict[str, float], list[Experience]]:
        """One pass of the method. Returns its metrics and the experiences it documented.

        Raises UserError when a loss or the gradient is not finite, before any weight moves.
        """

    def supervised_update(self, step: int, problems: Sequence[Problem]) -> dict[str, float]:
        """Initialise theta: an update on a reference of each problem (eq. 2), before the loop.

        Raises UserError when loss or gradient is not finite, before any weight moves.
        """
        items = []
        for task, place in enumerate(self.processes.share(len(problems))):
            # 2 marks these updates: the loop's own streams of the same step end in 0 and 1.
            rng = np.random.default_rng([self.settings.seed, step, place, 2])
            items += items_of(task, self.supervised_samples(problems[place], (), rng))
        since = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        report = self.merged(outer_gradient(self.policy, items, None, self.settings))
        self.refuse_not_finite(report, "supervised update")
        norms = self.update(step)
        self.solver.clock.add("update", since)
        loss = report.terms["sl"] / max(len(problems), 1)
        return {"supervised/loss": loss, "supervised/gradient": norms["norm/gradient"]}

    def attempt(
        self, problems: Sequence[Problem], samples: int, seed: int, weights: Weights = META_WEIGHTS
    ) -> list[list[Attempt]]:
        """Attempts at all ``problems``, each made by the process whose task it is.

        ``weights`` are those of this process's tasks; ``seed`` is unique in the training.
        """
        own, sampling = self.processes.share(len(problems)), Sampling.of(self.settings.sampling)
        # The places are the streams of random numbers: a task's do not depend on who makes it.
        draws = Draws(sampling, samples, (self.settings.seed << 32) + seed, own)
        chosen = [problems[place] for place in own]
        attempts = self.solver.attempt(
            chosen, draws, memory=self.long_term, phase="train", weights=weights
        )
        return self.processes.gather_shares(attempts)

    def greedy_attempt(self, problem: Problem) -> Attempt:
        """The greedy attempt under theta."""
        greedy = Draws(Sampling.of(self.settings.sampling).greedy())
        return self.solver.attempt([problem], greedy, memory=self.long_term, phase="train")[0][0]

    def supervised_samples(
        self, problem: Problem, group: Sequence[Attempt], rng: np.random.Generator
    ) -> list[Sample]:
        """One ground-truth solution, uniformly random (eq. 2); none where there is none.

        It answers the prompt of the attempts in ``group``, recalled text included.
        """
        if not problem.solutions or self.settings.train.loss.sl == 0:
            return []
        solution = problem.solutions[int(rng.integers(len(problem.solutions)))]
        target = self.policy.form.target(problem, solution)
        prompt = group[0].prompt_ids if group else self.policy.prompts.encode(problem)
        return [sl_sample(self.policy, prompt, target)]

    def merged(self, report: LossReport) -> LossReport:
        """The report of all processes."""
        return merge(self.processes.gather(report))

    def update(self, step: int, before: Sequence[Sequence[torch.Tensor]] = ()) -> dict[str, float]:
        """Move theta by the gradient it carries, after a move by each gradient in ``before``.

        Raises UserError when one is not finite: all are checked before any weight moves.
        """
        parameters = tensors(self.policy.bank.meta())
        gradients: list[list[torch.Tensor | None]] = [[*each] for each in before]
        gradients.append([p.grad for p in parameters])
        norm = 0.0
        for each in gradients:
            norm = self._sum_and_clip(parameters, each)
            if not np.isfinite(norm):
                message = f"Step {step}: the gradient of the meta-update is not finite."
                raise UserError(message, hint=_HINT)
        start = [p.detach().clone() for p in parameters]
        for each in gradients:
            for parameter, gradient in zip(parameters, each, strict=True):
                parameter.grad = gradient
            self.optimizer.step()
        moved = sum(
            float((p.detach() - s).square().sum()) for p, s in zip(parameters, start, strict=True)
        )
        return {"norm/gradient": norm, "norm/update": moved**0.5}

    def _sum_and_clip(
        self, parameters: list[torch.Tensor], gradients: list[torch.Tensor | None]
    ) -> float:
        """Sum gradients over the processes and clip them, in place; their norm before clipping."""
        # Both work on `.grad`, so the gradients are lent to the parameters.
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self.processes.sum_gradients(parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.settings.train.clip_norm)
        gradients[:] = [p.grad for p in parameters]
        return float(norm)

    def refuse_not_finite(self, report: LossReport, where: str) -> None:
        """Raise UserError naming the losses that are NaN or infinite."""
        bad = [name for name, value in report.terms.items() if not np.isfinite(value)]
        if bad:
            message = f"The loss became NaN or infinite in the {where}: {', '.join(bad)}."
            raise UserError(message, hint=_HINT)
