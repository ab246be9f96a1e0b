"""Does training help? The untrained model, plain policy gradient, and MRLF, on equal terms.

Every seed trains anew and is scored on problems never trained on: by sampled programs, and by the
greedy one. ``plain`` is what a home-made script does: policy gradient on the tests' rewards
with a supervised term, no inner loop, no memory; it gets more steps, so that both write as
many programs. Arms that are done are kept. Nothing is promoted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.comparison.arms import (
    OpenMemory,
    by_problem,
    cell,
    difference,
    interval,
    scored,
    shown,
    write_result,
)
from falcon.comparison.learning_figure import draw
from falcon.evaluation.intervals import bootstrap

if TYPE_CHECKING:
    import pandas as pd

    from falcon.config import Settings
    from falcon.monitor import Monitor
    from falcon.problems.problem import Problem

ARMS = ("base", "plain", "mrlf")
MEASURES = {"passed": "pass@1", "reward": "test reward", "syntax": "syntax", "crash": "crash"}


def settings_of(settings: Settings, arm: str, seed: int) -> Settings:
    """The settings of one arm; ``mrlf`` takes them as they are."""
    train = settings.train.model_copy(update={"validate_every": 0})
    changes: dict[str, Any] = {"seed": seed, "train": train}
    if arm == "plain":
        meta = train.meta
        programs = meta.samples + meta.evaluation_samples
        changes["train"] = train.model_copy(
            update={
                "steps": math.ceil(train.steps * programs / meta.samples),
                "meta": meta.model_copy(
                    update={"order": 0, "evaluation_samples": 1, "long_batch": 0}
                ),
                "loss": train.loss.model_copy(
                    update={"complexity": 0.0, "style": 0.0, "negative": 0.0}
                ),
            }
        )
        off = {"at": "off", "error_share": "uniform"}
        changes["memory"] = settings.memory.model_copy(update=off)
    return settings.model_copy(update=changes)


def run_study(
    settings: Settings,
    problems: Sequence[Problem],
    *,
    open_memory: OpenMemory,
    data_dir: Path,
    out: Path,
    seeds: Sequence[int],
    monitor: Monitor,
) -> dict[str, Any]:
    """Run what is missing and write ``study.json``, ``table.md`` and ``curves.png`` into ``out``.

    ``settings.benchmark`` says on what and with how many samples arms are scored.
    """
    scorings = {
        "sampled": settings.benchmark,
        "greedy": settings.benchmark.model_copy(update={"samples": 1}),
    }
    frames: dict[str, dict[str, list[pd.DataFrame]]] = {
        arm: {way: [] for way in scorings} for arm in ARMS
    }
    for seed in seeds:
        for arm in ARMS:
            found = scored(
                settings_of(settings, arm, seed),
                problems,
                open_memory=open_memory,
                data_dir=data_dir,
                place=out / f"seed-{seed}" / arm,
                monitor=monitor,
                scorings=scorings,
                trains=arm != "base",
            )
            for way, frame in found.items():
                frames[arm][way].append(frame)
    curves = {arm: [_curves(out / f"seed-{s}" / arm) for s in seeds] for arm in ARMS[1:]}
    scores = {way: _compared(frames, way, settings) for way in scorings}
    result = {
        "seeds": list(seeds),
        "samples": settings.benchmark.samples,
        "steps": {arm: settings_of(settings, arm, 0).train.steps for arm in ARMS[1:]},
        "model": settings.policy.model,
        "confidence": settings.gate.confidence,
        "problems": int(frames["base"]["greedy"][0]["problem_id"].nunique()),
        "scores": scores,
        "by_seed": {
            str(seed): _gains(frames, number, settings) for number, seed in enumerate(seeds)
        },
        "adaptation_gain": _gain(curves["mrlf"], settings),
    }
    write_result(out, result, table_of(result))
    draw(scores["sampled"], curves, out / "curves.png", confidence=settings.gate.confidence)
    return result


def _compared(
    frames: dict[str, dict[str, list[pd.DataFrame]]], way: str, settings: Settings
) -> dict[str, Any]:
    """Of each arm the means by measure, and the paired differences to the arms before it."""
    confidence, seed = settings.gate.confidence, settings.seed
    tables = {arm: by_problem(frames[arm][way]) for arm in ARMS}
    rows: dict[str, Any] = {}
    for number, arm in enumerate(ARMS):
        rows[arm] = {
            name: {
                "mean": interval(tables[arm][column], confidence, seed),
                **{
                    f"against_{other}": difference(
                        tables[arm][column], tables[other][column], confidence, seed
                    )
                    for other in ARMS[:number]
                },
            }
            for column, name in MEASURES.items()
        }
    return rows


def _gains(
    frames: dict[str, dict[str, list[pd.DataFrame]]], number: int, settings: Settings
) -> dict[str, Any]:
    """One seed alone: the gain of each arm over the untrained model, by samples."""
    base = by_problem([frames["base"]["sampled"][number]])
    return {
        arm: {
            name: difference(
                by_problem([frames[arm]["sampled"][number]])[column],
                base[column],
                settings.gate.confidence,
                settings.seed,
            )
            for column, name in MEASURES.items()
        }
        for arm in ARMS[1:]
    }


def _curves(place: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(place / "curves.csv")


def _gain(curves: Sequence[pd.DataFrame], settings: Settings) -> dict[str, float]:
    """Mean over steps of the reward after adaptation less that before, with its interval."""
    import pandas as pd

    gains = pd.concat(list(curves))["adaptation_gain"].to_numpy()
    return shown(bootstrap(gains, confidence=settings.gate.confidence, seed=settings.seed))


def table_of(found: dict[str, Any]) -> str:
    """Each arm's measures and what it gained, with intervals over problems."""
    head = ["arm", "programs", *MEASURES.values()]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for way, rows in found["scores"].items():
        for arm, row in rows.items():
            means = [_part(row[name]["mean"], name) for name in MEASURES.values()]
            lines.append(f"| {arm} | {way} | {' | '.join(means)} |")
        for arm, other in (("plain", "base"), ("mrlf", "base"), ("mrlf", "plain")):
            gains = [_part(rows[arm][name][f"against_{other}"], name) for name in MEASURES.values()]
            lines.append(f"| {arm} - {other} | {way} | {' | '.join(gains)} |")
    seeds = ", ".join(map(str, found["seeds"]))
    steps = ", ".join(f"{arm} {count}" for arm, count in found["steps"].items())
    lines.append(
        f"\n{found['problems']} held-out problems, {found['samples']} samples each, seeds {seeds}; "
        f"steps: {steps}; {found['model']}; {100 * found['confidence']:.0f} % intervals over "
        "problems; pass@1, syntax errors and crashes in per cent of programs. Adaptation gain "
        f"(reward after the inner step less before): {cell(found['adaptation_gain'], 1, 3)}."
    )
    return "\n".join(lines) + "\n"


def _part(found: dict[str, float], name: str) -> str:
    return cell(found, 1, 3) if name == "test reward" else cell(found, 100, 1)
