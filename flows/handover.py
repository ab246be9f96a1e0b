"""Carry: what one run leaves for the next, as versioned inputs.

The trained memory is published to ``state/memory``; a run that starts anew copies it to
``handover/memory``, which is a dependency of the seed stage. In between nothing changes, so
running again without a change finds every stage up to date.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tasks.seed import has_memory
from tasks.support import dvc
from tasks.support.workspace import Workspace, path_md5, replaced_folder

README = "README.md"


def _logs(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*.jsonl") if p.is_file())


def publish(space: Workspace) -> Path:
    """Copy the trained memory to ``state/memory``, whole or not at all."""
    target = space.state / "memory"
    with replaced_folder(target) as fresh:
        for log in _logs(space.output("train") / "memory"):
            shutil.copyfile(log, fresh / log.name)
    return target


def adopt(space: Workspace, *, anew: bool) -> bool:
    """Let the seed stage start from the published memory; True when that changed its input.

    Done when ``anew`` (a scheduled or forced run), or when some stage is out of date anyway.
    """
    source, target = space.state / "memory", space.handover / "memory"
    if not has_memory(source) or _same(source, target):
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


def _same(one: Path, other: Path) -> bool:
    def content(folder: Path) -> list[tuple[str, str]]:
        return [(p.name, path_md5(p)) for p in _logs(folder)]

    return content(one) == content(other)
