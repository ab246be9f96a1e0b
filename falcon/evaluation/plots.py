"""Plots of the report as SVG text that takes the colours of the page around it.

Text stays text and axes are drawn in ``currentColor``, so one drawing serves light and dark
pages. Equal input gives equal bytes (no dates, no random ids).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from falcon.evaluation.scores import CLASSES, judged

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_INK = "#010203"  # a colour no plot uses: replaced by currentColor in the SVG's text

POLICY_COLOURS = ("#8792a2", "#2f7fd6", "#d98324", "#8a5cc7", "#3b9c8f")
CLASS_COLOURS = dict(zip(CLASSES, ("#3f9e63", "#e0a93b", "#d9703a", "#b5405d"), strict=True))
_LINES = 6  # curves of one panel; more cannot be told apart


def colours(policies: Sequence[str]) -> dict[str, str]:
    """A colour for each policy, by position."""
    return {p: POLICY_COLOURS[i % len(POLICY_COLOURS)] for i, p in enumerate(policies)}


@contextmanager
def _figure(width: float, height: float, salt: str) -> Iterator[Figure]:
    """A figure of that size in inches, without a display or the user's matplotlibrc."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style = {
        "svg.hashsalt": salt,  # ids of elements, which are random without it
        "svg.fonttype": "none",  # text stays text
        "font.family": ["sans-serif"],
        "font.size": 10,
        **dict.fromkeys(
            ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK
        ),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    }
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(style)
        yield Figure(figsize=(width, height), layout="constrained")  # drawn within the context


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")  # without the XML header
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    # Without width and height the drawing scales with the page, by its viewBox.
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg", '<svg role="img"', 1)


def pass_bars(scores: Mapping[str, Any], benchmarks: Sequence[str]) -> str:
    """pass@1 with its interval, a group a benchmark, a bar a policy."""
    policies = list(scores["policies"])
    colour = colours(policies)
    width = 0.8 / len(policies)
    with _figure(max(4.0, 1.6 + 1.3 * len(benchmarks)), 3.0, "pass") as figure:
        axes = figure.add_subplot()
        for i, policy in enumerate(policies):
            passed = [scores["policies"][policy]["suites"][b]["pass@1"] for b in benchmarks]
            value, low, high = (
                np.array([100 * (p[key] or 0.0) for p in passed])
                for key in ("value", "low", "high")
            )
            # The bars of a group stand side by side around the group's tick.
            at = np.arange(len(benchmarks)) + (i - (len(policies) - 1) / 2) * width
            axes.bar(at, value, 0.92 * width, color=colour[policy], label=policy)
            errors = np.maximum([value - low, high - value], 0)  # [2, benchmarks], lengths
            axes.errorbar(at, value, errors, fmt="none", ecolor=_INK, elinewidth=1, capsize=3)
        axes.set_xticks(range(len(benchmarks)), list(benchmarks))
        axes.set_ylim(bottom=0)
        axes.set_ylabel("pass@1, %")
        figure.legend(loc="outside upper center", ncols=len(policies))
        return _svg(figure)


def verdict_bars(scores: Mapping[str, Any], benchmarks: Sequence[str]) -> str:
    """Shares of the outcome classes of eq. 7, a bar a policy and benchmark."""
    pairs = [(b, p) for b in benchmarks for p in scores["policies"]]
    with _figure(6.4, 0.9 + 0.34 * len(pairs), "verdicts") as figure:
        axes = figure.add_subplot()
        left = np.zeros(len(pairs))
        for name in CLASSES:
            verdicts = (scores["policies"][p]["suites"][b]["verdicts"] for b, p in pairs)
            share = np.array([100 * (shares[name] or 0.0) for shares in verdicts])
            axes.barh(range(len(pairs)), share, 0.75, left, color=CLASS_COLOURS[name], label=name)
            left += share
        axes.set_yticks(range(len(pairs)), [f"{b}: {p}" for b, p in pairs])
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of programs")
        figure.legend(loc="outside upper center", ncols=len(CLASSES))
        return _svg(figure)


def quality_histograms(frame: pd.DataFrame, policies: Sequence[str]) -> str:
    """Style and complexity of all judged programs, each from -1 to 2."""
    good = judged(frame)
    colour = colours(policies)
    edges = np.linspace(-1, 2, 25)  # the range of both rewards
    with _figure(7.0, 2.8, "quality") as figure:
        for axes, column in zip(
            figure.subplots(1, 2, sharey=True), ("style", "complexity"), strict=True
        ):
            for policy in policies:
                values = good.loc[good["policy"] == policy, column].to_numpy(dtype=float)
                share = np.histogram(values, edges)[0] * (100 / max(len(values), 1))
                axes.stairs(share, edges, color=colour[policy], linewidth=1.6, label=policy)
            axes.set_xlabel(column)
        figure.axes[0].set_ylabel("% of programs")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(policies))
        return _svg(figure)


def learning_curves(curves: pd.DataFrame) -> str:
    """Metrics over training steps, a panel a group ("reward/tests" is of group "reward").

    Columns without two numbers, columns without a group and times are left out; "" if none is left.
    """
    groups: dict[str, list[str]] = {}
    for column in map(str, curves.columns):
        group, slash, _ = column.partition("/")
        if slash and group != "time" and curves[column].notna().sum() > 1:
            groups.setdefault(group, []).append(column)
    if not groups or "step" not in curves:
        return ""
    rows = (len(groups) + 1) // 2
    with _figure(7.4, 2.5 * rows, "curves") as figure:
        for i, (group, columns) in enumerate(groups.items()):
            axes = figure.add_subplot(rows, 2, i + 1)
            for column in columns[:_LINES]:
                points = curves[["step", column]].dropna()  # some metrics are not of every step
                label = column.partition("/")[2]
                axes.plot(points["step"], points[column], linewidth=1.4, label=label)
            axes.set_title(group, fontsize=10)
            axes.legend(fontsize=7)
            if i >= len(groups) - 2:  # the lowest panel of each of the two columns
                axes.set_xlabel("step")
        return _svg(figure)
