"""Provenance: what a run was made of, as tags."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from falcon.config import Settings
from tasks.support.dvc_files import data_version

CODE = ("falcon", "tasks", "flows", "dvc.yaml", "params.yaml", "data.dvc")
"""What makes a commit dirty when it is changed. ``dvc.lock`` changes with every run."""


def provenance(root: Path, settings: Settings) -> dict[str, str]:
    """Git commit (with ``-dirty``), data version, settings hash and profile."""
    return {
        "git.commit": git_commit(root),
        "dvc.data.md5": data_version(root) if (root / "data.dvc").is_file() else "",
        "settings.hash": settings_hash(settings),
        "profile": settings.profile,
    }


def settings_hash(settings: Settings) -> str:
    """sha256 of the resolved settings without tracking and machine, 16 hex digits."""
    tree = settings.model_dump(mode="json", exclude={"tracking", "machine"})
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]


def git_commit(root: Path) -> str:
    """The commit of the workspace, ``-dirty`` when code or settings differ; "" without git."""
    if shutil.which("git") is None:
        return ""

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    commit = git("rev-parse", "--verify", "HEAD")
    if commit.returncode:
        return ""
    changed = git("status", "--porcelain", "--", *CODE).stdout.strip()
    return commit.stdout.strip() + ("-dirty" if changed else "")
