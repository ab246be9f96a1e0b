"""Handover: what a run takes from earlier ones, as versioned inputs of its stages.

``handover/memory`` is what seeding starts with, ``handover/start`` what training starts from,
``handover/run`` the settings of the present run alone, ``handover/champion`` the model in service.
Only a run that carries on fills the first three (``next_run.py``); in between nothing changes, so
running again without a change finds every stage up to date.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.errors import UserError
from falcon.files import replaced_folder
from tasks.support.files import read_json, write_json
from tasks.support.memory import copy_logs, has_memory, open_memory
from tasks.support.model_version import FILES, ModelVersion
from tasks.support.workspace import Workspace

if TYPE_CHECKING:
    from falcon.config import Settings
    from falcon.problems.trained_on import TrainedOn

README = "README.md"


def published_memory(space: Workspace) -> Path:
    """The memory that the last run left, where ``memory.start`` is "last"."""
    return space.state / "memory"


def publish_memory(space: Workspace) -> None:
    """Copy the trained memory to ``state/memory``, whole or not at all."""
    with replaced_folder(published_memory(space)) as fresh:
        copy_logs(space.output("train") / "memory", fresh)


def emptied(folder: Path) -> None:
    """Leave nothing in a folder of ``handover`` but the README that git tracks."""
    for path in folder.iterdir():
        if path.name == README:
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def fill_model(folder: Path, card: str, version: ModelVersion | None, parts: Path) -> None:
    """Make a folder of ``handover`` the weights of a version, whose parts are there; None: empty.

    ``card`` is the name of the file that says which version it is.
    """
    # It goes first and comes last, so it never names an adapter that is not there.
    (folder / card).unlink(missing_ok=True)
    emptied(folder)
    if version is None:
        write_json(folder / card, {"version": "", "policy": ""})
        return
    shutil.copytree(parts / FILES["adapter"], folder / "adapter")
    if (lineage := parts / FILES["lineage"]).is_file():
        shutil.copyfile(lineage, folder / "lineage.json")
    write_json(folder / card, {"version": version.number, "policy": version.policy})


def fill_memory(space: Workspace, source: Path) -> None:
    """Make ``handover/memory`` a copy of the memory ``source``, whole or not at all."""
    target = space.handover / "memory"
    with replaced_folder(target) as fresh:
        if (target / README).is_file():
            shutil.copyfile(target / README, fresh / README)
        copy_logs(source, fresh)


def start_memory(space: Workspace, settings: Settings, folder: Path, held_out: set[str]) -> None:
    """Begin ``folder`` with the memory handed over, without problems that are held out by now."""
    source, keep = space.handover / "memory", settings.memory.keep
    if settings.memory.start != "empty" and has_memory(source):
        with open_memory(space, settings, source) as memory:
            memory.copy_to(folder, keep=keep, without=held_out)


def _read(folder: Path, card: str) -> tuple[Path | None, dict[str, Any]]:
    file, adapter = folder / card, folder / "adapter"
    if not file.is_file():
        return None, {}
    content = dict(json.loads(file.read_text(encoding="utf-8")))
    return adapter if content["version"] else None, content


def read_champion(space: Workspace) -> tuple[Path | None, dict[str, Any]]:
    """Adapter of the model in service and its card; (None, {}) when there is none."""
    return _read(space.handover / "champion", "champion.json")


def read_start(space: Workspace) -> tuple[Path | None, dict[str, Any]]:
    """Adapter that training starts from (None: the base model) and its card ({}: none yet)."""
    return _read(space.handover / "start", "start.json")


def start_adapter(space: Workspace, settings: Settings) -> Path | None:
    """The adapter that training starts from; None for the base model.

    Raises UserError where the settings say "champion" and nothing was handed over.
    """
    if settings.train.start == "base":
        return None
    adapter, card = read_start(space)
    if not card:
        raise UserError(
            "train.start is champion, and handover/start holds no model.",
            hint="`falcon run --carry-on` fetches the model in service.",
        )
    return adapter


def start_name(space: Workspace, settings: Settings) -> str:
    """What training starts from, in words."""
    adapter = start_adapter(space, settings)
    return f"version {read_start(space)[1]['version']}" if adapter else "the base model"


def trained_on(folder: Path) -> TrainedOn:
    """What the model of a lineage file in ``folder`` was trained on; nothing if there is none."""
    from falcon.problems.trained_on import TrainedOn

    file = folder / "lineage.json"
    return TrainedOn.from_json(read_json(file)["trained_on"]) if file.is_file() else TrainedOn()
