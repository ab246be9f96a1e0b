"""Run page: what a whole pipeline run came to, as one HTML file that fetches and runs nothing.

The benchmark's own page is made before the gate decides, so this one is of the run: the decision
with its reasons, what the model comes from, scores, growth of memory, time.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from falcon.config import Settings
from tasks.support.files import read_json, write_text
from tasks.support.handover import read_champion, start_name
from tasks.support.provenance import read_marker
from tasks.support.run_report import PipelineResult, score_rows, share_line
from tasks.support.scores import read_scores
from tasks.support.workspace import Workspace

PAGE = "run_report.html"
"""Under ``state/``: it holds times, so it is no result that DVC could compare."""


def write_run_page(space: Workspace, settings: Settings, result: PipelineResult) -> Path:
    """Write ``state/run_report.html``; gives its path."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    file = space.state / PAGE
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    html = environment.get_template("run_page.html.j2").render(
        result=result,
        links=_links(space, file.parent),
        origin=_origin(space, settings, result),
        scores=score_rows(read_scores(space.output("benchmark") / "scores.json")),
        memory=_memory(space),
        longest=max((each.seconds for each in result.stages), default=0.0) or 1.0,
        shares=share_line(result),
    )
    write_text(file, html)
    return file


def _links(space: Workspace, folder: Path) -> list[tuple[str, str]]:
    pages = {
        "programs and plots of the benchmark": space.output("benchmark") / "report.html",
        "memory": space.output("train") / "memory.html",
        "problems in two sets": space.output("prepare") / "overlap.html",
    } | {
        f"checks of {docs.parent.name}": docs
        for docs in sorted((space.state / "data_docs").glob("*/index.html"))
    }
    return [(text, os.path.relpath(p, folder)) for text, p in pages.items() if p.is_file()]


def _origin(space: Workspace, settings: Settings, result: PipelineResult) -> list[tuple[str, str]]:
    made = read_marker(space, "train").get("provenance") or {}
    _, champion = read_champion(space)
    opponent = result.decision["opponent"]["version"]
    return [
        ("starts from", start_name(space, settings)),
        ("compared with", f"version {opponent}" if opponent else "the untrained model"),
        ("in service before", f"version {champion['version']}" if champion else "none"),
        ("base model", settings.policy.model),
        ("seed", str(settings.seed)),
        *((name, str(made.get(key, "unknown"))) for name, key in _MADE),
    ]


_MADE = (
    ("profile", "profile"), ("commit", "git.commit"), ("data", "dvc.data.md5"),
    ("settings", "settings.hash"),
)  # fmt: skip
"""Rows of what the train stage was made with, and their keys in its record."""


def _memory(space: Workspace) -> list[tuple[str, Any, Any]]:
    rows = []
    for stage in ("seed", "rollout", "train"):
        m = read_json(space.output(stage) / "metrics.json")
        rows.append((stage, int(m["experiences"]), int(m.get("added", m.get("demonstrations", 0)))))
    return rows
