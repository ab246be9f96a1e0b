"""Drawings of a memory as SVG text: areas and shares over its history, and a map of points.

Lines and text are drawn in ``currentColor``, so that a drawing fits light and dark pages. Equal
input gives equal bytes. Only numbers and names come here; ``report.py`` knows experiences.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 760, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 8, 34
MAP = 560
"""Width and height of a map in pixels."""
COLOURS = {
    "pass": "#3f9e63",
    "failure": "#e0a93b",
    "runtime": "#d9703a",
    "syntax": "#b5405d",
}
"""Colours of the classes of eq. 7, as in the benchmark's report."""
TYPE_COLOURS = (
    *("#b5405d", "#d9703a", "#e0a93b", "#8a5cc7", "#2f7fd6", "#3b9c8f", "#7a9a2e", "#8792a2"),
)

Numbers = npt.NDArray[np.float64]


class Dot(NamedTuple):
    """A point of a map: position, class of eq. 7, number of experiences, and text on hovering."""

    x: float
    y: float
    kind: str
    size: int
    text: str


def _svg(width: int, height: int, label: str, parts: Sequence[str]) -> str:
    head = f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {height}"'
    style = 'font-family="system-ui, sans-serif" font-size="12" fill="currentColor"'
    return "\n".join([f'{head} xmlns="http://www.w3.org/2000/svg" {style}>', *parts, "</svg>"])


def _text(x: float, y: float, value: object, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(str(value))}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, opacity: float) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="currentColor" stroke-opacity="{opacity}"/>'


def ticks(greatest: float, steps: int = 4) -> list[float]:
    """Round numbers from 0 to at most ``greatest``, in at most ``steps`` equal steps."""
    if greatest <= 0:
        return [0.0]
    step = 10.0 ** np.floor(np.log10(greatest / steps))  # 1, 10, 100: too small or just right
    step *= next(m for m in (1, 2, 5, 10) if greatest / (step * m) <= steps)
    return [float(i * step) for i in range(int(greatest / step + 1e-9) + 1)]  # 1e-9: rounding


def stacked(
    layers: Mapping[str, Numbers],
    colours: Mapping[str, str],
    marks: Sequence[tuple[int, str]],
    *,
    label: str,
    unit: str = "",
) -> str:
    """A stacked step plot: layers of numbers [bins], the first at the bottom.

    ``marks``: bins at which a vertical line with a name is drawn. "" if there are no bins.
    """
    bins = len(next(iter(layers.values()), ()))
    if not bins:
        return ""
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    top = float(np.sum(list(layers.values()), axis=0).max()) or 1.0  # all zero: any scale will do
    parts = []
    for tick in ticks(top):
        y = TOP + high * (1 - tick / top)  # SVG's y grows downwards
        parts += [
            _line(LEFT, y, WIDTH - RIGHT, y, 0.15),
            _text(LEFT - 6, y + 4, f"{tick:g}{unit}", "end"),
        ]
    below = np.zeros(bins)
    edges = LEFT + wide * np.arange(bins + 1) / bins  # [bins + 1]
    for name, values in layers.items():
        above = below + values
        corners = [*_steps(edges, above, top, high), *_steps(edges, below, top, high)[::-1]]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        polygon = f'<polygon points="{points}" fill="{colours[name]}">'
        parts.append(f"{polygon}<title>{escape(name)}</title></polygon>")
        below = above
    label_end = -np.inf  # labels would overlap left of here, so they are dropped
    for at, name in marks:
        parts.append(_line(edges[at], TOP, edges[at], TOP + high + 4, 0.45))
        if edges[at] >= label_end:
            anchor = "end" if edges[at] > WIDTH - 60 else "start"
            parts.append(_text(edges[at], HEIGHT - 16, name, anchor))
            label_end = edges[at] + 8 * len(name)  # about 8 pixels a letter
    return _svg(WIDTH, HEIGHT, label, parts)


def _steps(edges: Numbers, values: Numbers, top: float, high: int) -> list[tuple[float, float]]:
    heights = TOP + high * (1 - values / top)
    return [(edges[i + end], heights[i]) for i in range(len(values)) for end in (0, 1)]


def scatter(dots: Sequence[Dot], *, label: str) -> str:
    """A map with a circle for each point: size by count, colour by class, text on hovering."""
    if not dots:
        return ""
    places = np.array([(dot.x, dot.y) for dot in dots])
    low, span = places.min(axis=0), np.ptp(places, axis=0)
    inner = MAP - 32
    # Points without extent along an axis go to its middle; the inner `where` avoids 0 / 0.
    at = 16 + inner * np.where(span > 0, (places - low) / np.where(span > 0, span, 1), 0.5)
    parts = []
    for dot, (x, y) in zip(dots, at, strict=True):
        radius = min(12.0, 2.5 + 0.8 * (dot.size**0.5 - 1))
        colour = COLOURS.get(dot.kind, "currentColor")
        circle = f'cx="{x:.1f}" cy="{MAP - y:.1f}" r="{radius:.1f}" fill="{colour}"'
        title = f"<title>{escape(dot.text)}</title>"
        parts.append(f'<circle {circle} fill-opacity="0.6">{title}</circle>')
    return _svg(MAP, MAP, label, parts)


def legend(colours: Mapping[str, str]) -> str:
    """A legend of names and colours, as HTML."""
    one = '<span class="key"><i style="background:{}"></i>{}</span>'
    return "".join(one.format(colour, escape(name)) for name, colour in colours.items())
