"""Handover: what one run leaves for the next, as versioned inputs of its stages.

A run publishes its trained memory to ``state/memory``. A run that starts anew copies it to
``handover/memory``, a dependency of the seed stage. In between nothing changes, so running again
without a change finds every stage up to date. ``handover/champion`` holds the model in service.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.files import replaced_folder
from tasks.support import dvc
from tasks.support.files import path_md5
from tasks.support.memory import has_memory, open_memory
from tasks.support.workspace import Workspace

if TYPE_CHECKING:
    from falcon.config import Settings

README = "README.md"


def _logs(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*.jsonl") if p.is_file())


def publish_memory(space: Workspace) -> None:
    """Copy the trained memory to ``state/memory``, whole or not at all."""
    with replaced_folder(space.state / "memory") as fresh:
        for log in _logs(space.output("train") / "memory"):
            shutil.copyfile(log, fresh / log.name)


def hand_over_memory(space: Workspace, *, anew: bool) -> bool:
    """Let the seed stage start from the published memory; True when that changed its input.

    Done when ``anew`` (a scheduled or forced run), or when some stage is out of date anyway.
    """
    source, target = space.state / "memory", space.handover / "memory"
    if not has_memory(source) or _content(source) == _content(target):
        return False
    if not anew and not dvc.is_stale(space.root):
        return False
    readme = target / README
    with replaced_folder(target) as fresh:
        if readme.is_file():
            shutil.copyfile(readme, fresh / README)
        for log in _logs(source):
            shutil.copyfile(log, fresh / log.name)
    return True


def _content(folder: Path) -> list[tuple[str, str]]:
    return [(log.name, path_md5(log)) for log in _logs(folder)]


def start_memory(space: Workspace, settings: Settings, folder: Path, held_out: set[str]) -> None:
    """Begin ``folder`` with the memory handed over, without problems that are held out by now."""
    source, keep = space.handover / "memory", settings.memory.keep
    if settings.memory.carry_over and has_memory(source):
        with open_memory(space, settings, source) as memory:
            memory.copy_to(folder, keep=keep, without=held_out)


def read_champion(space: Workspace) -> tuple[Path | None, dict[str, Any]]:
    """Adapter of the model in service and its card; (None, {}) when there is none."""
    folder = space.handover / "champion"
    card = folder / "champion.json"
    if not card.is_file():
        return None, {}
    return folder / "adapter", dict(json.loads(card.read_text(encoding="utf-8")))
