"""Does training help? The untrained model, plain policy gradient, and MRLF, on equal terms.

Every seed trains anew and is scored on problems never trained on: by sampled programs, and by the
greedy one. ``plain`` is what a home-made script does: policy gradient on the tests' rewards
with a supervised term, no inner loop, no memory. It gets more steps, so that both methods write
as many programs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from falcon.comparison import arms
from falcon.comparison.learning_figure import draw

if TYPE_CHECKING:
    import pandas as pd

    from falcon.config import Settings

ARMS = ("base", "plain", "mrlf")
MEASURES = {"passed": "pass@1", "reward": "test reward", "syntax": "syntax", "crash": "crash"}
Frames = dict[str, dict[str, list["pd.DataFrame"]]]
"""Judged samples by arm and by scoring, a table a seed."""


def settings_of(settings: Settings, arm: str, seed: int) -> Settings:
    """The settings of one arm; ``mrlf`` takes them as they are."""
    changes: dict[str, Any] = {"seed": seed, "train.validate_every": 0}
    if arm == "plain":
        meta = settings.train.meta
        programs = meta.samples + meta.evaluation_samples  # of a task in a step of MRLF
        changes |= {
            "train.steps": math.ceil(settings.train.steps * programs / meta.samples),
            # Without an inner loop there is nothing to evaluate; 1 is the fewest there may be.
            "train.meta": {"order": 0, "evaluation_samples": 1, "long_batch": 0},
            "train.loss": {"complexity": 0.0, "style": 0.0, "negative": 0.0},
            "memory": {"at": "off", "error_share": "uniform"},
        }
    return settings.changed(changes)


def run_study(settings: Settings, study: arms.Study, seeds: Sequence[int]) -> dict[str, Any]:
    """Run what is missing; write ``study.json``, ``table.md``, ``curves.png`` into ``study.out``.

    ``settings.benchmark`` gives the suites and the number of samples that arms are scored by.
    """
    import pandas as pd

    greedy = settings.benchmark.model_copy(update={"samples": 1})  # one sample is written greedily
    scorings = {"sampled": settings.benchmark, "greedy": greedy}
    frames: Frames = {arm: {way: [] for way in scorings} for arm in ARMS}
    for seed in seeds:
        for name in ARMS:
            changed, folder = settings_of(settings, name, seed), study.folder(name, seed)
            samples = arms.scored(study, arms.Arm(changed, folder, scorings, trains=name != "base"))
            for way, frame in samples.items():
                frames[name][way].append(frame)
    curves = {
        arm: [pd.read_csv(study.folder(arm, seed) / "curves.csv") for seed in seeds]
        for arm in ARMS[1:]
    }
    scores = {way: _compared(frames, way, settings) for way in scorings}
    result = {
        "seeds": list(seeds),
        "samples": settings.benchmark.samples,
        "steps": {arm: settings_of(settings, arm, 0).train.steps for arm in ARMS[1:]},
        "model": settings.policy.model,
        "confidence": settings.gate.confidence,
        "problems": int(frames["base"]["greedy"][0]["problem_id"].nunique()),
        "scores": scores,
        "by_seed": {str(seed): _gains(frames, n, settings) for n, seed in enumerate(seeds)},
        # The reward after the inner step less that before it, over the steps of all seeds.
        "adaptation_gain": arms.interval(
            pd.concat(curves["mrlf"])["adaptation_gain"], settings.gate.confidence, settings.seed
        ),
    }
    arms.write_result(study.out, result, table_of(result))
    draw(scores["sampled"], curves, study.out / "curves.png", confidence=settings.gate.confidence)
    return result


def _compared(frames: Frames, way: str, settings: Settings) -> dict[str, Any]:
    """Each arm's means by measure, and its paired differences to the arms before it."""
    confidence, seed = settings.gate.confidence, settings.seed
    tables = {arm: arms.by_problem(frames[arm][way]) for arm in ARMS}
    rows: dict[str, Any] = {}
    for number, arm in enumerate(ARMS):
        rows[arm] = {
            name: {
                "mean": arms.interval(tables[arm][column], confidence, seed),
                **{
                    f"against_{other}": arms.difference(
                        tables[arm][column], tables[other][column], confidence, seed
                    )
                    for other in ARMS[:number]
                },
            }
            for column, name in MEASURES.items()
        }
    return rows


def _gains(frames: Frames, number: int, settings: Settings) -> dict[str, Any]:
    """One seed alone: the gain of each arm over the untrained model, on sampled programs."""
    confidence, seed = settings.gate.confidence, settings.seed
    tables = {arm: arms.by_problem([frames[arm]["sampled"][number]]) for arm in ARMS}
    return {
        arm: {
            name: arms.difference(tables[arm][column], tables["base"][column], confidence, seed)
            for column, name in MEASURES.items()
        }
        for arm in ARMS[1:]
    }


def table_of(result: dict[str, Any]) -> str:
    """Each arm's measures and what it gained, with intervals over problems."""
    head = ["arm", "programs", *MEASURES.values()]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for way, rows in result["scores"].items():
        for arm, row in rows.items():
            means = [_cell(row[name]["mean"], name) for name in MEASURES.values()]
            lines.append(f"| {arm} | {way} | {' | '.join(means)} |")
        for arm, other in (("plain", "base"), ("mrlf", "base"), ("mrlf", "plain")):
            gains = [_cell(rows[arm][name][f"against_{other}"], name) for name in MEASURES.values()]
            lines.append(f"| {arm} - {other} | {way} | {' | '.join(gains)} |")
    seeds = ", ".join(map(str, result["seeds"]))
    steps = ", ".join(f"{arm} {count}" for arm, count in result["steps"].items())
    lines.append(
        f"\n{result['problems']} held-out problems, {result['samples']} samples each, "
        f"seeds {seeds}; steps: {steps}; {result['model']}; "
        f"{100 * result['confidence']:.0f} % intervals over "
        "problems; pass@1, syntax errors and crashes in per cent of programs. Adaptation gain "
        f"(reward after the inner step less before): {arms.cell(result['adaptation_gain'], 1, 3)}."
    )
    return "\n".join(lines) + "\n"


def _cell(interval: dict[str, float], name: str) -> str:
    return arms.cell(interval, 1, 3) if name == "test reward" else arms.cell(interval, 100, 1)
