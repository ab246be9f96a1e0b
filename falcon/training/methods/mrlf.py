"""MRLF, Algorithm 1 of the paper, line by line.

::

    Initialise LMB, SMB, theta; populate LMB, SMB via few-shot demonstrations   (stage `seed`)
    repeat
        Sample batch {T_i} from T                                    Mrlf.sample_tasks
        for each task T_i do                                         (all tasks at once)
            Code Generation: generate code and test results;
                record in SMB                                        Mrlf.generate_code
            Adaptation: theta_i = theta; sample mini-batch from LMB,
                SMB; L_inner = sum_j L_j; theta_i <- theta_i -
                alpha grad L_inner(theta_i)                          Mrlf.adaptation
            Evaluation: assess theta_i on T_i; document outcomes     Mrlf.evaluation
        Meta-Update: L_meta = sum_i L_inner(theta_i);
            theta <- theta - beta grad L_meta                        Mrlf.meta_update
    until convergence

The paper writes the same L_inner in both loops; here the outer loss is taken on another
mini-batch (the samples held back from adaptation, those of the evaluation and others from
LMB), because the same batch twice would make the outer step a mere second inner step. Random numbers come
from (seed, step) alone, so there is no random state to restore.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from falcon.errors import UserError
from falcon.generation.local import Draws, Sampling, Weights
from falcon.memory import LongTermMemory, Origin, ShortTermMemory
from falcon.rollout import Attempt, Solver, outcome_metrics
from falcon.training.adapt_on_recall import into_weights, recalled_samples
from falcon.training.advantages import baselines
from falcon.training.batches.items import LOSSES, Sample, attempt_rows, items_of, sl_sample
from falcon.training.batches.replay import replay_samples
from falcon.training.inner_loop import adapt, inner_gradients, outer_gradient, tensors
from falcon.training.objectives import LossReport, merge
from falcon.training.run.process_group import ProcessGroup

if TYPE_CHECKING:
    from falcon.config import Settings
    from falcon.memory import Experience
    from falcon.policy.adapter import Pairs
    from falcon.problems.problem import Problem
    from falcon.training.samplers import Sampler


@dataclass
class Iteration:
    """What one pass of the loop holds: tasks, attempts, adapted weights, reports.

    ``own`` are the places of the tasks that this process adapts to; ``fast`` and ``held_back``
    are theirs, in that order. Attempts and outcomes are those of all tasks.
    """

    step: int
    problems: list[Problem]
    own: list[int]
    attempts: list[list[Attempt]] = field(default_factory=list)
    outcomes: list[list[Attempt]] = field(default_factory=list)
    fast: Pairs | None = None
    held_back: list[list[Attempt]] = field(default_factory=list)
    inner: LossReport | None = None


class Mrlf:
    """One training method: a policy, both memories, and the lines of Algorithm 1 as steps."""

    def __init__(
        self,
        settings: Settings,
        solver: Solver,
        *,
        sampler: Sampler,
        long_term: LongTermMemory,
        problems: Sequence[Problem],
        optimizer: torch.optim.Optimizer,
        processes: ProcessGroup | None = None,
    ) -> None:
        self.settings = settings
        self.meta = settings.train.meta
        self.solver = solver
        self.policy = solver.policy
        self.sampler = sampler
        self.long_term = long_term
        self.short_term = ShortTermMemory(settings.memory.short_term_cap)
        self.by_id = {p.id: p for p in problems}
        self.optimizer = optimizer
        self.processes = processes or ProcessGroup()
        self._version = ""
        self._greedy_of: dict[str, Attempt] = {}

    # -- the algorithm -----------------------------------------------------------------

    def supervised_update(self, step: int, problems: Sequence[Problem]) -> dict[str, float]:
        """Initialise theta: an update on a reference of each problem (eq. 2), before the loop.

        Raises UserError when loss or gradient is not finite, before any weight moves.
        """
        items = []
        for task, place in enumerate(self.processes.share(len(problems))):
            rng = np.random.default_rng([self.settings.seed, step, place, 2])
            items += items_of(task, self._supervised(problems[place], (), rng))
        since = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        report = merge(
            self.processes.gather(outer_gradient(self.policy, items, None, self.settings))
        )
        self._refuse_not_finite(report, "supervised update")
        norms = self._update(step, None)
        self.solver.clock.add("update", since)
        loss = report.terms["sl"] / max(len(problems), 1)
        return {"supervised/loss": loss, "supervised/gradient": norms["norm/gradient"]}

    def iterate(self, step: int) -> tuple[dict[str, float], list[Experience]]:
        """One pass of the loop. Returns its metrics and the experiences it documented.

        Raises UserError when a loss or the gradient is not finite, before any weight moves.
        """
        self._version = self.policy.digest()
        problems = self.sample_tasks()
        now = Iteration(step, problems, self.processes.share(len(problems)))
        self.generate_code(now)
        self.adaptation(now)
        self.evaluation(now)
        report, norms = self.meta_update(now)
        return self._metrics(now, report, norms), self._document(now)

    def sample_tasks(self) -> list[Problem]:
        """Sample batch {T_i} from the task distribution."""
        return self.sampler.next(self.meta.tasks)

    def generate_code(self, now: Iteration) -> None:
        """Code Generation: programs and test results under theta; recorded in SMB.

        SMB holds the current iteration only: "the latest samples".
        """
        self.short_term.clear()
        now.attempts = self._attempt(now, self.meta.samples, seed=2 * now.step)
        self._greedy_of = {}
        for group in now.attempts:
            self.short_term.record(a.experience(self._origin(now)) for a in group if a.judged)

    def adaptation(self, now: Iteration) -> None:
        """Adaptation: theta_i = theta; one or more gradient steps on a mini-batch of LMB and SMB."""
        if self.meta.order == 0:
            now.held_back = [[a for a in now.attempts[place] if a.judged] for place in now.own]
            return
        batches, now.held_back = [], []
        for task, place in enumerate(now.own):
            problem, group = now.problems[place], now.attempts[place]
            rng = np.random.default_rng([self.settings.seed, now.step, place, 0])
            support = self._from_short_term(problem, group, rng)
            used = {a.sample for a in support}
            now.held_back.append([a for a in group if a.judged and a.sample not in used])
            samples = self._samples(group, support) + self._to_adapt(problem, group, rng)
            batches += items_of(task, samples)
        since = time.perf_counter()
        now.fast, inner = adapt(self.policy, batches, len(now.own), self.settings)
        now.inner = merge(self.processes.gather(inner))
        self._refuse_not_finite(now.inner, "adaptation")
        self.solver.clock.add("adapt", since)

    def evaluation(self, now: Iteration) -> None:
        """Evaluation: assess theta_i on T_i; outcomes are documented in both memories."""
        since = time.perf_counter()
        adapted = now.fast if self.meta.evaluate_with == "adapted" else None
        now.outcomes = self._attempt(
            now, self.meta.evaluation_samples, seed=2 * now.step + 1, fast=adapted
        )
        for group in now.outcomes:
            self.short_term.record(a.experience(self._origin(now)) for a in group if a.judged)
        self.solver.clock.add("evaluate_s", since)

    def meta_update(self, now: Iteration) -> tuple[LossReport, dict[str, float]]:
        """Meta-Update: theta <- theta - beta * grad sum_i L_inner(theta_i); see ``meta.gradient``."""
        items = []
        for task, place in enumerate(now.own):
            outcomes = now.outcomes[place]
            rng = np.random.default_rng([self.settings.seed, now.step, place, 1])
            samples = self._samples(now.attempts[place], now.held_back[task])
            samples += self._samples(outcomes, [a for a in outcomes if a.judged])
            samples += self._from_long_term(rng)
            samples += self._supervised(now.problems[place], now.attempts[place], rng)
            items += items_of(task, samples)
        since = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        report = merge(
            self.processes.gather(outer_gradient(self.policy, items, now.fast, self.settings))
        )
        self._refuse_not_finite(report, "meta-update")
        norms = self._update(now.step, now.fast)
        self.solver.clock.add("update", since)
        return report, norms

    def _update(self, step: int, fast: Pairs | None) -> dict[str, float]:
        """Move theta by the gradient it carries; with ``meta.gradient: each`` by that of the inner
        steps before. All gradients are looked at before any weight moves."""
        parameters = tensors(self.policy.bank.meta())
        gradients = [[p.grad for p in parameters]]
        if self.meta.gradient == "each" and fast is not None:
            gradients.insert(0, [*inner_gradients(self.policy, fast, self.settings)])
        norm = 0.0
        for each in gradients:
            norm = self._summed_and_clipped(parameters, each)
            if not np.isfinite(norm):
                raise UserError(
                    f"Step {step}: the gradient of the meta-update is not finite.",
                    hint="The last checkpoint is whole; lower train.learning_rate or train.meta.inner_lr.",
                )
        before = [p.detach().clone() for p in parameters]
        for each in gradients:
            for parameter, gradient in zip(parameters, each, strict=True):
                parameter.grad = gradient
            self.optimizer.step()
        moved = sum(
            float((p.detach() - b).square().sum()) for p, b in zip(parameters, before, strict=True)
        )
        return {"norm/gradient": norm, "norm/update": moved**0.5}

    def _summed_and_clipped(
        self, parameters: list[torch.Tensor], gradients: list[torch.Tensor | None]
    ) -> float:
        """Sum gradients over the processes and clip them, in place; their norm before that."""
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self.processes.sum_gradients(parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.settings.train.clip_norm)
        gradients[:] = [p.grad for p in parameters]
        return float(norm)

    # -- its ingredients ---------------------------------------------------------------

    def _attempt(
        self, now: Iteration, samples: int, *, seed: int, fast: Pairs | None = None
    ) -> list[list[Attempt]]:
        """Attempts at all tasks, each made by the process whose task it is."""
        sampling = Sampling.of(self.settings.sampling)
        own = self.solver.attempt(
            [now.problems[place] for place in now.own],
            Draws(sampling, samples, (self.settings.seed << 32) + seed, now.own),
            memory=self.long_term,
            phase="train",
            weights=Weights(fast),
        )
        return self.processes.gather_shares(own)

    def _samples(self, group: Sequence[Attempt], chosen: Sequence[Attempt]) -> list[Sample]:
        """The chosen attempts of a group as samples; the baseline is that of the whole group."""
        greedy = None
        if self.meta.baseline == "greedy" and group:
            mark = self._greedy(group[0].problem)
            greedy = [mark.feedback] if mark.judged else []
        judged = [a.feedback for a in group if a.judged]
        base = baselines(judged, self.meta, self.settings.feedback.adaptive, greedy)
        earned = torch.ones(len(LOSSES), 1)
        if not self.meta.latest_rewards:
            earned[:] = torch.tensor([[name == "negative"] for name in LOSSES])
        return [
            Sample(a.prompt_ids, a.completion.drawn, earned * attempt_rows(self.policy, a, base))
            for a in chosen
            if a.completion.drawn
        ]

    def _greedy(self, problem: Problem) -> Attempt:
        """The greedy attempt under theta; made once an iteration, which asks up to three times."""
        if problem.id not in self._greedy_of:
            greedy = Draws(Sampling.of(self.settings.sampling).greedy())
            self._greedy_of[problem.id] = self.solver.attempt(
                [problem], greedy, memory=self.long_term, phase="train"
            )[0][0]
        return self._greedy_of[problem.id]

    def _from_short_term(
        self, problem: Problem, group: Sequence[Attempt], rng: np.random.Generator
    ) -> list[Attempt]:
        """A mini-batch of SMB: at most half of the task's latest samples.

        The other half stays for the outer loss, which must not see the same batch.
        """
        half = len(self.short_term.group(problem.id)) // 2
        places = self.short_term.draw(rng, min(self.meta.short_batch, half), problem.id)
        # SMB has no token ids. Its places hold in the attempts that were recorded, too.
        recorded = [a for a in group if a.judged]
        return [recorded[place] for place in places]

    def _to_adapt(
        self, problem: Problem, group: Sequence[Attempt], rng: np.random.Generator
    ) -> list[Sample]:
        """What stands beside the latest samples in the inner mini-batch.

        Where recall enters the weights, what is recalled for the task, and no reference of it:
        theta learns to adapt from what there is when it is used.
        """
        if into_weights(self.settings, self.long_term, "train"):
            since = time.perf_counter()
            samples = recalled_samples(self.policy, self.settings, problem, self.long_term, "train")
            self.solver.clock.add("recall", since)
            return samples
        return self._from_long_term(rng) + self._supervised(problem, group, rng)

    def _from_long_term(self, rng: np.random.Generator) -> list[Sample]:
        """A mini-batch of LMB: earlier programs with the rewards they were given then."""
        return replay_samples(self.long_term, self.solver, self.by_id, rng)

    def _supervised(
        self, problem: Problem, group: Sequence[Attempt], rng: np.random.Generator
    ) -> list[Sample]:
        """One ground-truth solution, uniformly random (eq. 2); none where there is none.

        It answers the prompt that the attempts answer, what was recalled included.
        """
        if not problem.solutions or self.settings.train.loss.sl == 0:
            return []
        solution = problem.solutions[int(rng.integers(len(problem.solutions)))]
        target = self.policy.form.target(problem, solution)
        prompt = group[0].prompt_ids if group else self.policy.prompts.encode(problem)
        return [sl_sample(self.policy, prompt, target)]

    def _origin(self, now: Iteration) -> Origin:
        return Origin(stage="train", step=now.step, policy=self._version)

    def _document(self, now: Iteration) -> list[Experience]:
        return [
            a.experience(self._origin(now))
            for groups in (now.attempts, now.outcomes)
            for group in groups
            for a in group
            if a.judged
        ]

    def _refuse_not_finite(self, report: LossReport, where: str) -> None:
        bad = [name for name, value in report.terms.items() if not np.isfinite(value)]
        if bad:
            raise UserError(
                f"The loss became NaN or infinite in the {where}: {', '.join(bad)}.",
                hint="The last checkpoint is whole; lower train.learning_rate or train.meta.inner_lr.",
            )

    def _metrics(
        self, now: Iteration, report: LossReport, norms: dict[str, float]
    ) -> dict[str, float]:
        before = [a for group in now.attempts for a in group]
        after = [a for group in now.outcomes for a in group]
        spread = [
            len({round(a.test_reward, 6) for a in group if a.judged}) > 1 for group in now.attempts
        ]
        gain = _mean_reward(after) - _mean_reward(before)
        terms = {f"loss/{name}": report.terms.get(name, 0.0) for name in LOSSES}
        if now.inner is not None:
            terms |= {f"loss_inner/{name}": now.inner.terms.get(name, 0.0) for name in LOSSES}
        return {
            **outcome_metrics(before),
            **terms,
            **norms,
            "loss/total": report.total,
            "policy/entropy": report.entropy,
            "tokens/trained": float(report.tokens),
            "tokens/drawn": float(sum(len(a.completion.drawn) for a in (*before, *after))),
            "adaptation_gain": gain,
            "groups/zero_spread": 1 - sum(spread) / max(len(spread), 1),
            "memory/long_term": float(len(self.long_term)),
            "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
        }


def _mean_reward(attempts: Sequence[Attempt]) -> float:
    judged = [a.test_reward for a in attempts if a.judged]
    return sum(judged) / max(len(judged), 1)
