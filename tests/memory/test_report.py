"""The page about a memory."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from falcon.memory import HashEncoder, LongTermMemory, Origin
from falcon.memory.plots import COLOURS, ticks
from falcon.memory.report import plane, report_page, write_report
from falcon.sandbox.verdict import Outcome


def history(make) -> list:
    """Eight that pass in the seed, then six steps of training with ever fewer name errors."""
    experiences = [make(i).model_copy(update={"origin": Origin(stage="seed")}) for i in range(8)]
    for step in range(6):
        for i in range(6):
            number = 100 + 10 * step + i
            failed = i < 6 - step
            made = make(
                number,
                outcome=Outcome.RUNTIME_ERROR if failed else Outcome.PASS,
                error="name" if failed else "",
                line=2 if failed else 0,
                message="<b>name 'x'</b>" if failed else "",
            )
            experiences.append(made.model_copy(update={"origin": Origin(stage="train", step=step)}))
    return experiences


def drawings(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def test_the_page_shows_growth_errors_over_time_and_a_map(folder: Path, encoder, make) -> None:
    experiences = history(make)
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        memory.append(experiences)
        page = report_page(memory, "Memory of <a run>")
        digest = memory.digest()
    assert "44 experiences of 44 problems, 23 of them pass" in page
    assert digest in page
    assert "Memory of &lt;a run&gt;" in page
    growth, errors, places = drawings(page)
    tag = "{http://www.w3.org/2000/svg}"
    assert [p.get("fill") for p in growth.iter(f"{tag}polygon")] == list(COLOURS.values())
    assert {t.text for t in growth.iter(f"{tag}text")} >= {"seed", "train", "40"}
    (name,) = errors.iter(f"{tag}polygon")
    heights = [float(pair.split(",")[1]) for pair in str(name.get("points")).split()]
    tops = heights[: len(heights) // 2 : 2]  # of the seed, then of six steps: 0, 100, 83 ... %
    assert tops[0] == max(tops)
    assert tops[1:] == sorted(tops[1:])
    assert tops[1] < tops[6] < tops[0]
    dots = list(places.iter(f"{tag}circle"))
    assert len(dots) == 44
    assert [dot.get("fill") for dot in dots].count(COLOURS["runtime"]) == 21
    assert [dot.get("fill") for dot in dots].count(COLOURS["pass"]) == 23
    assert "<td>name</td><td>21</td>" in page
    assert "<td>2 (21)</td>" in page


def test_experiences_of_one_text_are_one_point(folder: Path, encoder, make) -> None:
    experiences = [make(i, task="Reverse a list.") for i in range(9)] + [make(50)]
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        memory.append(experiences)
        places = drawings(report_page(memory))[-1]
    radii = sorted(float(str(c.get("r"))) for c in places.iter() if c.tag.endswith("circle"))
    assert len(radii) == 2
    assert radii[0] < radii[1]


def test_equal_memories_give_equal_pages_and_an_empty_one_a_page(tmp_path: Path, make) -> None:
    pages = []
    for name in ("a", "b"):
        with LongTermMemory.open(tmp_path / name, HashEncoder(), writable=True) as memory:
            write_report(memory, tmp_path / "empty.html")
            memory.append(history(make))
            write_report(memory, tmp_path / f"{name}.html")
        pages.append((tmp_path / f"{name}.html").read_text())
    assert pages[0] == pages[1]
    assert "0 experiences of 0 problems" in (tmp_path / "empty.html").read_text()


def test_the_plane_keeps_the_greatest_spread() -> None:
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((200, 2)) * [3.0, 1.0]
    axes = np.linalg.qr(rng.standard_normal((16, 2)))[0]
    points = plane((flat @ axes.T + 0.01 * rng.standard_normal((200, 16))).astype("f4"))
    for i in range(2):
        assert abs(np.corrcoef(points[:, i], flat[:, i])[0, 1]) > 0.99


def test_ticks_are_round() -> None:
    assert ticks(44) == [0, 20, 40]
    assert ticks(100) == [0, 50, 100]
    assert ticks(0.9)[:3] == [0, 0.5]
