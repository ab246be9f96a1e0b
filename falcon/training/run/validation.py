"""Validation: the greedy score on held-out problems. The best adapter so far is kept (eq. 5)."""

from collections.abc import Sequence

from falcon.generation.completion import Draws, Sampling, Weights
from falcon.problems.problem import Problem
from falcon.rollout import outcome_metrics
from falcon.training.adapt_on_recall import adapted_weights
from falcon.training.run import checkpoint
from falcon.training.run.state import TrainingRun


def validate(run: TrainingRun, problems: Sequence[Problem]) -> dict[str, float]:
    """Metrics of the greedy programs, named ``valid/...``.

    Where recall enters the weights, each program is written under those adapted to its task.
    """
    settings, method, progress = run.settings, run.method, run.progress
    processes = method.processes
    own = [problems[place] for place in processes.share(len(problems))]
    # Processes that share a backbone must make the same passes: each adapts all tasks at once.
    at_once = settings.train.meta.tasks if processes.size == 1 else 0
    memory, clock = method.long_term, method.solver.clock
    fast = adapted_weights(
        method.policy, settings, own, memory, "eval", at_once=at_once, clock=clock
    )
    greedy = Draws(Sampling.of(settings.sampling).greedy())
    attempts = method.solver.attempt(
        own, greedy, memory=memory, phase="eval", weights=Weights(fast), monitor=run.monitor
    )
    metrics = outcome_metrics([a for group in processes.gather_shares(attempts) for a in group])
    score = metrics["reward/tests"]
    if score > progress.best_score:
        progress.best_score, progress.best_step = score, progress.step
        if processes.is_first:
            checkpoint.write_folder(run.best, method.policy.save)
        processes.barrier()
    return {f"valid/{name}": value for name, value in metrics.items()}
