"""Workspace: where everything lies, and how files are put there whole or not at all.

Knows paths and bytes only. Hashes are those DVC writes into ``dvc.lock`` (md5 of a file;
for a folder, of its sorted list of files), so that they can be compared with it without
starting DVC.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.config import Settings, load_settings, require_file_settings
from falcon.env import find_root
from falcon.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

STAGES = ("prepare", "seed", "rollout", "train", "benchmark", "gate")
"""The stages in their order."""

ROOM = 256 * 2**20
"""Bytes that must be free for a stage to begin: about twice what the default profile writes."""


@dataclass(frozen=True)
class Workspace:
    """The folders of one clone of the repository."""

    root: Path

    @classmethod
    def here(cls) -> Workspace:
        """The workspace around the working folder. Raises UserError outside of one."""
        root = find_root()
        if not (root / "dvc.yaml").is_file():
            raise UserError(
                f"{root}: no dvc.yaml and params.yaml here or above.",
                hint="Run inside a clone of the repository.",
            )
        return cls(root)

    @property
    def data(self) -> Path:
        """Data sets, pinned by ``data.dvc``."""
        return self.root / "data"

    @property
    def state(self) -> Path:
        """Databases, indices, checkpoints and markers: no results."""
        return self.root / "state"

    @property
    def handover(self) -> Path:
        """What earlier runs left for the next one: ``memory/`` and ``champion/``."""
        return self.root / "handover"

    def output(self, stage: str) -> Path:
        """Results of a stage."""
        return self.root / "outputs" / stage

    def marker(self, stage: str) -> Path:
        """Which runs produced the results of a stage."""
        return self.state / "runs" / f"{stage}.json"

    def settings(self) -> Settings:
        """Resolved ``params.yaml``, with what the command line and the environment override."""
        return load_settings(self.root / "params.yaml")

    def stage_settings(self) -> Settings:
        """Settings of work that DVC starts. Raises UserError for a variable DVC would not see."""
        require_file_settings()
        return self.settings()

    def require_room(self) -> None:
        """Raise UserError when fewer than ``ROOM`` bytes are free where results or state go.

        Asked before work begins: databases that meet a full disk while they set up their
        tables are of no use afterwards.
        """
        for folder in (self.root, self.root / "outputs", self.state):
            if not folder.is_dir():
                continue
            free = shutil.disk_usage(folder).free
            if free < ROOM:
                raise UserError(
                    f"{folder}: {free / 2**20:.0f} MiB free on its disk,"
                    f" {ROOM / 2**20:.0f} MiB are needed to begin.",
                    hint="Make room (`dvc gc --workspace` drops results that no run needs).",
                )


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """A name to write to; the file takes the place of ``path`` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with replaced_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, so that equal values are equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path, *, hint: str = "") -> Any:
    """Read JSON. Raises UserError when the file is absent or malformed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is not there.", hint=hint) from None
    except ValueError as fault:
        raise UserError(f"{path}: not valid JSON ({fault}).", hint=hint) from None


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """A new folder that takes the place of ``path`` when the block ends without an exception."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        yield fresh
        if path.exists():
            old = path.with_name(f".{path.name}.old-{os.getpid()}")
            os.replace(path, old)
            os.replace(fresh, path)
            shutil.rmtree(old)
        else:
            os.replace(fresh, path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def file_md5(path: Path) -> str:
    """md5 of a file, as 32 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def path_md5(path: Path) -> str:
    """Hash of a file or folder as DVC gives it; a folder's ends in ``.dir``."""
    if not path.is_dir():
        return file_md5(path)
    files = sorted(
        (p.relative_to(path).as_posix(), p)
        for p in path.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    )
    entries = [{"md5": file_md5(p), "relpath": name} for name, p in files]
    entries.sort(key=lambda entry: tuple(entry["relpath"].split("/")))
    listed = json.dumps(entries, sort_keys=True).encode()
    return hashlib.md5(listed, usedforsecurity=False).hexdigest() + ".dir"


def settings_hash(settings: Settings) -> str:
    """sha256 of the resolved settings without tracking and machine, 16 hex digits."""
    tree = settings.model_dump(mode="json", exclude={"tracking", "machine"})
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Write a table whole or not at all."""
    with replaced_file(path) as temporary:
        frame.to_parquet(temporary, index=False)
