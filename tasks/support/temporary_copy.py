"""Temporary copy: a workspace that `dvc exp run --temp` made for one experiment.

It has what git tracks. What earlier runs handed over is not tracked, so it is taken from the
workspace that was copied, whose state (MLflow's database, caches) is used as well (falcon/env.py).
"""

from __future__ import annotations

import shutil

from falcon.env import home
from tasks.support.workspace import Workspace


def take_handover(space: Workspace) -> None:
    """In a temporary copy, let ``handover/`` be that of the workspace; else do nothing."""
    origin = home(space.root)
    if origin == space.root:
        return
    for source in sorted(Workspace(origin).handover.glob("*/*")):
        target = space.handover / source.relative_to(origin / "handover")
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
