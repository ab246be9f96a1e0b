"""The figure of the learning study: gains on held-out problems, and the curves of training.

It only draws. What is measured, and how, is in :mod:`falcon.comparison.learning_gain`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COLOURS = {"base": "#b8bdc6", "plain": "#6e7781", "mrlf": "#1f6feb"}
_SMOOTH = 5  # steps; each has other tasks, so single steps jump


def draw(
    scores: Mapping[str, Any],
    curves: Mapping[str, Sequence[pd.DataFrame]],
    file: Path,
    *,
    confidence: float,
) -> None:
    """Write ``file``, a PNG.

    ``scores``: arm -> measure -> ``mean`` with ``value``, ``low``, ``high``, of sampled programs.
    ``curves``: arm -> the table of steps of each seed.
    """
    import matplotlib as mpl

    mpl.use("Agg")  # before pyplot: there may be no display
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    held_out = f"held-out problems, {100 * confidence:.0f} % intervals"
    _by_arm(axes[0, 0], scores, "pass@1", 100, f"pass@1 in %: {held_out}")
    _by_arm(axes[0, 1], scores, "test reward", 1, f"reward of the tests: {held_out}")
    _adaptation(axes[1, 0], curves["mrlf"])
    _training(axes[1, 1], curves)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _by_arm(panel: Axes, scores: Mapping[str, Any], measure: str, scale: int, title: str) -> None:
    for place, (arm, row) in enumerate(scores.items()):
        mean = row[measure]["mean"]
        value, low, high = (scale * mean[key] for key in ("value", "low", "high"))
        lengths = [[value - low], [high - value]]  # matplotlib wants them from the point
        panel.errorbar(place, value, yerr=lengths, fmt="o", capsize=6, color=COLOURS[arm])
        label = f"{value:.{1 if scale == 100 else 3}f}"
        panel.annotate(label, (place, value), (8, 0), textcoords="offset points")
    panel.set_xticks(range(len(scores)), list(scores))
    panel.set_xlim(-0.5, len(scores) - 0.5)
    panel.set_title(title, fontsize=10)


def _adaptation(panel: Axes, seeds: Sequence[pd.DataFrame]) -> None:
    """Reward on a step's tasks after the inner step less before it."""
    import pandas as pd

    for frame in seeds:
        panel.plot(frame["step"] + 1, frame["adaptation_gain"], color=COLOURS["mrlf"], alpha=0.3)
    mean = pd.concat(list(seeds)).groupby("step")["adaptation_gain"].mean()
    panel.plot(mean.index + 1, mean, color=COLOURS["mrlf"], marker="o", label="mean of the seeds")
    panel.axhline(0, color="black", linewidth=0.8)
    panel.set_xlabel("meta-update")
    panel.set_title("mrlf: reward gained by the inner step, same tasks", fontsize=10)
    panel.legend()


def _training(panel: Axes, curves: Mapping[str, Sequence[pd.DataFrame]]) -> None:
    """Mean reward of the sampled programs, a line a seed."""
    for arm, frames in curves.items():
        for number, frame in enumerate(frames):
            smooth = frame["reward/tests"].rolling(_SMOOTH, min_periods=1).mean()
            label = arm if number == 0 else None
            # Arms differ in their number of steps, so the axis is the part of the training.
            part = (frame["step"] + 1) / len(frame)
            panel.plot(part, smooth, color=COLOURS[arm], label=label, alpha=0.8)
    panel.set_xlabel("part of the training")
    panel.set_title(f"reward of the tests in training, mean of {_SMOOTH} steps", fontsize=10)
    panel.legend()
