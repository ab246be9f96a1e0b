"""Code state: the commit of a clone, and what of its code is not committed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from falcon.files import write_whole

CODE = (
    "falcon", "tasks", "flows", "mlflow", "profiles",
    "dvc.yaml", "params.yaml", "data.dvc", "pyproject.toml",
)  # fmt: skip
"""What makes a commit dirty when it is changed. ``dvc.lock`` changes with every run."""

PATCH = "code.patch"


@dataclass(frozen=True)
class CodeState:
    """``commit``: its hash, with ``-dirty`` where code or settings differ, or "none (WHY)".

    ``patch``: what ``git apply`` makes of the commit's code the code of that moment.
    """

    commit: str
    patch: bytes = b""

    @property
    def digest(self) -> str:
        """sha256 of the patch, 16 hex digits; "" without one."""
        return hashlib.sha256(self.patch).hexdigest()[:16] if self.patch else ""

    def save(self, folder: Path) -> None:
        """Keep the patch as ``folder/DIGEST/code.patch``, if there is one."""
        if self.patch:
            write_whole(folder / self.digest / PATCH, self.patch)


def git(root: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run git in a clone, whoever owns it."""
    # A clone of another user is refused by git ("dubious ownership"), since its settings could name
    # programs. We run the clone's own code anyway.
    top = next((p for p in (root, *root.parents) if (p / ".git").exists()), root)
    command = ["git", "-c", f"safe.directory={top}", "-C", str(root), *words]
    env = {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    return subprocess.run(command, capture_output=True, check=False, env=env)


def code_state(root: Path) -> CodeState:
    """The state of the clone at ``root``; where there is no commit, the reason."""
    root = root.resolve()
    if shutil.which("git") is None:
        return CodeState("none (git is not installed)")
    commit = git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if commit.returncode:
        inside = git(root, "rev-parse", "--git-dir")
        if not inside.returncode:
            return CodeState("none (no commit yet)")
        lines = inside.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        if "not a git repository" in lines[0]:
            return CodeState("none (no git repository)")
        return CodeState(f"none (git: {lines[0].removeprefix('fatal: ')})")
    patch = _patch(root)
    return CodeState(commit.stdout.decode().strip() + ("-dirty" if patch else ""), patch)


def _patch(root: Path) -> bytes:
    """Changed and new files of the code, as one patch relative to ``root``."""
    paths = [path for path in CODE if (root / path).exists()]
    changes = git(root, "diff", "--relative", "--binary", "--no-ext-diff", "HEAD", "--", *CODE)
    listed = git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *paths)
    new = [name for name in listed.stdout.decode().split("\0") if name]
    parts = [changes.stdout]
    for name in new:
        whole = ("diff", "--no-index", "--binary", "--no-ext-diff", "--", os.devnull, name)
        parts.append(git(root, *whole).stdout)  # exit 1: they differ, as meant
    return b"".join(parts)
