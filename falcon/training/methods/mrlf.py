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
LMB), because the same batch twice would make the outer step a mere second inner step. Random
numbers come from (seed, step) alone, so there is no random state to restore.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from falcon.generation.completion import Weights
from falcon.memory import Experience, Origin
from falcon.policy.pairs import Pairs
from falcon.problems.problem import Problem
from falcon.rollout import Attempt
from falcon.training.adapt_on_recall import into_weights, recalled_samples
from falcon.training.advantages import baselines
from falcon.training.batches.items import LOSSES, Sample, attempt_rows, items_of
from falcon.training.batches.replay import replay_samples
from falcon.training.engine import Engine
from falcon.training.inner_loop import adapt, inner_gradients, outer_gradient
from falcon.training.metrics import iteration_metrics
from falcon.training.objectives import LossReport


@dataclass
class Iteration:
    """What one pass of the loop holds. A group is the attempts at one task.

    Attempts and outcomes are those of all tasks; ``greedy``, ``fast`` and ``held_back`` are of
    the tasks that this process adapts to, in the order of ``own``.
    """

    step: int
    problems: list[Problem]
    own: list[int]  # places of the tasks of this process
    origin: Origin
    attempts: list[list[Attempt]] = field(default_factory=list)  # under theta
    greedy: list[Attempt] = field(default_factory=list)  # for `meta.baseline: greedy`
    fast: Pairs | None = None  # theta_i, stacked [N, ...]; None: all are theta
    held_back: list[list[Attempt]] = field(default_factory=list)  # for the outer loss
    outcomes: list[list[Attempt]] = field(default_factory=list)  # of Evaluation
    inner: LossReport | None = None


class Mrlf(Engine):
    """The lines of Algorithm 1, one method each."""

    def iterate(self, step: int) -> tuple[dict[str, float], list[Experience]]:
        """One pass of the loop. Returns its metrics and the experiences it documented.

        Raises UserError when a loss or the gradient is not finite, before any weight moves.
        """
        origin = Origin(stage="train", step=step, policy=self.policy.digest())
        problems = self.sample_tasks()
        now = Iteration(step, problems, self.processes.share(len(problems)), origin)
        self.generate_code(now)
        self.adaptation(now)
        self.evaluation(now)
        report, norms = self.meta_update(now)
        metrics = iteration_metrics(now.attempts, now.outcomes, now.inner, report, norms)
        metrics["memory/long_term"] = float(len(self.long_term))
        metrics["learning_rate"] = float(self.optimizer.param_groups[0]["lr"])
        return metrics, [*_experiences(now, now.attempts), *_experiences(now, now.outcomes)]

    def sample_tasks(self) -> list[Problem]:
        """Sample batch {T_i} from the task distribution."""
        return self.sampler.next(self.meta.tasks)

    def generate_code(self, now: Iteration) -> None:
        """Code Generation: programs and test results under theta; recorded in SMB.

        SMB holds the current iteration only: "the latest samples".
        """
        self.short_term.clear()
        seed = 2 * now.step  # even; Evaluation has the odd ones
        now.attempts = self.attempt(now.problems, self.meta.samples, seed)
        self.short_term.record(_experiences(now, now.attempts))
        if self.meta.baseline == "greedy":
            now.greedy = [self.greedy_attempt(now.problems[place]) for place in now.own]

    def adaptation(self, now: Iteration) -> None:
        """Adaptation: theta_i = theta; gradient steps on a mini-batch from LMB and SMB."""
        if self.meta.order == 0:
            now.held_back = [_judged(now.attempts[place]) for place in now.own]
            return
        items = []
        for task, place in enumerate(now.own):
            problem, group = now.problems[place], now.attempts[place]
            rng = np.random.default_rng([self.settings.seed, now.step, place, 0])  # 0: inner loop
            support = self._from_short_term(problem, group, rng)
            used = {a.sample for a in support}
            now.held_back.append([a for a in _judged(group) if a.sample not in used])
            samples = self._rewarded(now, task, group, support)
            items += items_of(task, samples + self._beside_short_term(problem, group, rng))
        since = time.perf_counter()
        now.fast, inner = adapt(self.policy, items, len(now.own), self.settings)
        now.inner = self.merged(inner)
        self.refuse_not_finite(now.inner, "adaptation")
        self.solver.clock.add("adapt", since)

    def evaluation(self, now: Iteration) -> None:
        """Evaluation: assess theta_i on T_i; outcomes are documented in both memories."""
        since = time.perf_counter()
        adapted = now.fast if self.meta.evaluate_with == "adapted" else None
        now.outcomes = self.attempt(
            now.problems, self.meta.evaluation_samples, 2 * now.step + 1, Weights(adapted)
        )
        self.short_term.record(_experiences(now, now.outcomes))
        self.solver.clock.add("evaluate_s", since)

    def meta_update(self, now: Iteration) -> tuple[LossReport, dict[str, float]]:
        """Meta-Update: theta <- theta - beta grad sum_i L_inner(theta_i); see ``meta.gradient``."""
        items = []
        for task, place in enumerate(now.own):
            outcomes = now.outcomes[place]
            rng = np.random.default_rng([self.settings.seed, now.step, place, 1])  # 1: outer loop
            samples = self._rewarded(now, task, now.attempts[place], now.held_back[task])
            samples += self._rewarded(now, task, outcomes, _judged(outcomes))
            samples += self._from_long_term(rng)
            samples += self.supervised_samples(now.problems[place], now.attempts[place], rng)
            items += items_of(task, samples)
        since = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        report = self.merged(outer_gradient(self.policy, items, now.fast, self.settings))
        self.refuse_not_finite(report, "meta-update")
        before = []
        if self.meta.gradient == "each" and now.fast is not None:
            before = [inner_gradients(self.policy, now.fast, self.settings)]
        norms = self.update(now.step, before)
        self.solver.clock.add("update", since)
        return report, norms

    # -- what the mini-batches are made of -----------------------------------------------

    def _rewarded(
        self, now: Iteration, task: int, group: Sequence[Attempt], chosen: Sequence[Attempt]
    ) -> list[Sample]:
        """The chosen attempts of a group as samples; the baseline is that of the whole group."""
        greedy = [a.feedback for a in _judged(now.greedy[task : task + 1])] if now.greedy else None
        feedback = [a.feedback for a in _judged(group)]
        baseline = baselines(feedback, self.meta, self.settings.feedback.adaptive, greedy)
        kept = torch.ones(len(LOSSES), 1)  # [J, 1]
        if not self.meta.latest_rewards:  # eq. 9 stays: P_error is of LMB
            kept[:] = torch.tensor([[name == "negative"] for name in LOSSES])
        return [
            Sample(a.prompt_ids, a.completion.drawn, kept * attempt_rows(self.policy, a, baseline))
            for a in chosen
            if a.completion.drawn
        ]

    def _from_short_term(
        self, problem: Problem, group: Sequence[Attempt], rng: np.random.Generator
    ) -> list[Attempt]:
        """A mini-batch of SMB: at most half of the task's latest samples.

        The other half stays for the outer loss, which must not see the same batch.
        """
        half = len(self.short_term.group(problem.id)) // 2
        places = self.short_term.draw(rng, min(self.meta.short_batch, half), problem.id)
        # SMB has no token ids. Its places hold in the attempts that were recorded, too.
        recorded = _judged(group)
        return [recorded[place] for place in places]

    def _beside_short_term(
        self, problem: Problem, group: Sequence[Attempt], rng: np.random.Generator
    ) -> list[Sample]:
        """What the inner mini-batch has beside the latest samples: LMB and a reference.

        Where recall enters the weights it is what LMB recalls for the task, and no reference of
        it: theta learns to adapt from what there is when the model is used.
        """
        if into_weights(self.settings, self.long_term, "train"):
            since = time.perf_counter()
            samples = recalled_samples(self.policy, self.settings, problem, self.long_term, "train")
            self.solver.clock.add("recall", since)
            return samples
        return self._from_long_term(rng) + self.supervised_samples(problem, group, rng)

    def _from_long_term(self, rng: np.random.Generator) -> list[Sample]:
        """A mini-batch of LMB: earlier programs with the rewards they were given then."""
        return replay_samples(self.long_term, self.policy, self.settings, self.by_id, rng)


def _judged(group: Sequence[Attempt]) -> list[Attempt]:
    return [a for a in group if a.judged]


def _experiences(now: Iteration, groups: Sequence[Sequence[Attempt]]) -> Iterator[Experience]:
    return (a.experience(now.origin) for group in groups for a in _judged(group))
