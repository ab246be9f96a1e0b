"""Writing programs and judging them at the same time, beside each alone: `python -m perf.rollout`.

The training problems of a rollout of profile `quick`: all programs are written, then the
same programs are judged, then both at once as the stages do. Verdicts are not cached. Rounds
alternate; medians. Run: ``python -m perf.rollout [ROUNDS]``.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> int:
    """Print seconds, and the ratio."""
    from falcon import env
    from falcon.config import load_settings
    from falcon.feedback import make_judge
    from falcon.generation.completion import Draws, Sampling, Weights
    from falcon.generation.make import make_generator
    from falcon.monitor import SilentMonitor
    from falcon.policy.policy import Policy
    from falcon.problems.problem import HELD_OUT
    from falcon.problems.sources import load_sources
    from falcon.rollout.attempt import Examiner, Solver, error_share_of
    from falcon.rollout.stage import spread
    from falcon.sandbox import Sandbox

    env.apply()
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    settings = load_settings(profile="quick").changed({"machine.cache": False})
    policy = Policy.load(settings.policy, seed=settings.seed)
    known = load_sources(settings.data, Path("data"), settings.policy.model)
    training = [p for p in known if p.split not in HELD_OUT]
    problems = spread([p for p in training if policy.prompts.fits(p)], settings.rollout.problems)
    draws = Draws(Sampling.of(settings.sampling, ()), settings.rollout.samples, settings.seed)
    silent, bare = SilentMonitor(), Weights(use_adapter=False)
    with Sandbox(settings) as sandbox:
        judge = make_judge(settings.feedback)
        solver = Solver(settings, make_generator(settings.policy, policy), sandbox, judge)
        examiner = Examiner(settings.feedback, sandbox, judge)
        share = error_share_of(settings, None)
        empty = [""] * len(problems)
        drafts = solver.write(problems, empty, draws, weights=bare)  # and warm up
        works: dict[str, Callable[[], Any]] = {
            "writing": lambda: solver.write(problems, empty, draws, weights=bare),
            "judging": lambda: examiner.examine(drafts, share, silent),
            "both": lambda: solver.attempt(
                problems, draws, memory=None, phase="train", weights=bare
            ),
        }
        spent: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(rounds):
            for name, work in works.items():
                since = time.perf_counter()
                work()
                spent[name].append(time.perf_counter() - since)
    middle = {name: statistics.median(each) for name, each in spent.items()}
    ratios = [b / max(w, j) for w, j, b in zip(*spent.values(), strict=True)]
    print(
        f"{settings.policy.model}, {sum(map(len, drafts))} programs: "
        + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in middle.items())
        + f"; both against the longer {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}); load {os.getloadavg()[0]:.1f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
