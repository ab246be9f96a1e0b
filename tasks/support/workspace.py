"""Workspace: the folders of one clone of the repository, and its settings."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from falcon.config import PARAMS, Settings, load_frozen, load_settings, require_file_settings
from falcon.env import find_root, state_dir
from falcon.errors import UserError

STAGES = ("prepare", "seed", "rollout", "train", "benchmark", "gate")
"""The stages in their order."""

ROOM = 256 * 2**20
"""Bytes that must be free before a stage begins: about twice what the default profile writes."""


def require_stage(name: str) -> None:
    """Raise UserError unless ``name`` is a stage."""
    if name not in STAGES:
        raise UserError(f"unknown stage `{name}`.", hint=f"Stages: {', '.join(STAGES)}.")


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
        return state_dir(self.root)

    @property
    def handover(self) -> Path:
        """What earlier runs left for the next one: ``memory/``, ``champion/``, ``start/``, ``run/``."""
        return self.root / "handover"

    def output(self, stage: str) -> Path:
        """Results of a stage."""
        return self.root / "outputs" / stage

    @property
    def frozen(self) -> Path:
        """The settings of the last run, resolved: what its stages read."""
        return self.root / "outputs" / "settings.yaml"

    def settings(self) -> Settings:
        """Resolved ``params.yaml``, with what the command line and the environment override."""
        return load_settings(self.root / PARAMS)

    def stage_settings(self) -> Settings:
        """Settings of work that DVC starts: the frozen ones, and variables of ``machine`` and
        ``tracking``.

        Raises UserError for other variables, which DVC would not see, and before the first run.
        """
        require_file_settings()
        if not self.frozen.is_file():
            raise UserError(
                f"{self.frozen} is not there, which every stage reads.",
                hint="Run `dvc repro settings`, which makes it.",
            )
        return load_frozen(self.frozen)

    def require_room(self) -> None:
        """Raise UserError when fewer than ``ROOM`` bytes are free where results or state go.

        Call it before any work: a database that meets a full disk while it creates its tables
        is of no use afterwards.
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
