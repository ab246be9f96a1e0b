"""Few-shot demonstrations: what the memories hold before training (Algorithm 1, line 1).

For each chosen problem its reference solution, which must pass, and one failing variant. Both
are run. The functions that run and judge programs are passed in, so that memory depends on
neither sandbox pools nor judges.
"""

from collections.abc import Callable, Sequence

import numpy as np

from falcon.config import FeedbackSettings
from falcon.errors import UserError
from falcon.feedback import composite
from falcon.feedback.reward import Feedback
from falcon.memory.experience import Experience, Origin, TaskDetails
from falcon.memory.mutation import corrupt
from falcon.problems.problem import Problem, Split
from falcon.sandbox.verdict import Outcome, Verdict
from falcon.suite import Suite

ATTEMPTS = 8
"""Greatest number of variants that are tried for a problem until one fails."""

JudgeAll = Callable[[list[tuple[str, Suite]]], list[Verdict]]
FeedbackOf = Callable[[Problem, list[str], list[Verdict]], list[Feedback]]


def choose(problems: Sequence[Problem], n: int, rng: np.random.Generator) -> list[Problem]:
    """Up to ``n`` problems with a reference: those of the demo split first, then train.

    Random within a split, independent of the order given.
    """
    chosen: list[Problem] = []
    for split in (Split.DEMO, Split.TRAIN):
        pool = sorted((p for p in problems if p.split is split and p.solutions), key=lambda p: p.id)
        chosen += [pool[int(i)] for i in rng.permutation(len(pool))]
    return chosen[:n]


def _failing_variants(
    chosen: Sequence[Problem], judge_all: JudgeAll, rng: np.random.Generator
) -> dict[str, tuple[str, Verdict]]:
    """For each problem one variant that fails when it is run, by problem id."""
    failing: dict[str, tuple[str, Verdict]] = {}
    tried = {p.id: {p.solutions[0].strip()} for p in chosen}
    for _ in range(ATTEMPTS):
        batch: list[tuple[Problem, str]] = []  # one variant of each problem, judged together
        for problem in chosen:
            if problem.id in failing:
                continue
            variant = corrupt(problem.solutions[0], rng)
            if variant.strip() not in tried[problem.id]:
                tried[problem.id].add(variant.strip())
                batch.append((problem, variant))
        verdicts = judge_all([(v, p.tests) for p, v in batch]) if batch else []
        for (problem, variant), verdict in zip(batch, verdicts, strict=True):
            if not verdict.passed and verdict.outcome is not Outcome.SANDBOX_ERROR:
                failing[problem.id] = (variant, verdict)
    return failing


def demonstrations(
    problems: Sequence[Problem],
    judge_all: JudgeAll,
    feedback: FeedbackOf,
    *,
    n: int,
    rng: np.random.Generator,
    settings: FeedbackSettings,
) -> list[Experience]:
    """Experiences of up to ``n`` problems: each a passing reference, then a failing variant.

    If ATTEMPTS variants of a problem pass, it has no failing one. ``settings`` weigh the parts of
    the scores. Raises UserError when a reference does not pass (naming the problem) or no demo or
    train problem has a reference.
    """
    chosen = choose(problems, n, rng)
    if not chosen:
        raise UserError("No problem of the demo or train split has a reference solution.")
    references = judge_all([(p.solutions[0], p.tests) for p in chosen])
    for problem, verdict in zip(chosen, references, strict=True):
        if not verdict.passed:
            error = f" ({verdict.error.type}: {verdict.error.message})" if verdict.error else ""
            raise UserError(
                f"{problem.id}: the reference solution ended in {verdict.outcome}{error}.",
                hint="Correct its tests or solution, or leave the problem out of `data.sources`.",
            )
    failing = _failing_variants(chosen, judge_all, rng)
    experiences: list[Experience] = []
    for problem, verdict in zip(chosen, references, strict=True):
        pairs = [(problem.solutions[0], verdict)]
        if problem.id in failing:
            pairs.append(failing[problem.id])
        feedbacks = feedback(problem, [p for p, _ in pairs], [v for _, v in pairs])
        experiences += [
            Experience(
                problem_id=problem.id,
                split=problem.split,
                task=problem.statement,
                asked=TaskDetails.of(problem),
                program=program,
                verdict=its,
                feedback=of,
                score=composite(its, of, settings),
                origin=Origin(stage="seed", policy="reference" if its.passed else "corrupted"),
            )
            for (program, its), of in zip(pairs, feedbacks, strict=True)
        ]
    return experiences
