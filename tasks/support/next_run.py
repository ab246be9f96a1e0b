"""Next run: what a run that carries on takes from the model in service.

It gets a seed of its own, the weights that training starts from and the memory that seeding starts
from, all as files under ``handover/``, so DVC sees them and the run can be repeated. A run that
was cut off is continued; one that ended, well or not, is followed by a new one.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from falcon.config import Settings
from falcon.errors import UserError
from tasks.support.files import read_json, write_json
from tasks.support.handover import (
    emptied,
    fill_memory,
    fill_model,
    published_memory,
    read_start,
)
from tasks.support.memory import has_memory
from tasks.support.model_version import FILES, ModelVersion
from tasks.support.params import set_for_run
from tasks.support.registry import CHAMPION, Registry
from tasks.support.workspace import Workspace


@dataclass(frozen=True)
class RunState:
    """The run that carries on now or did last: ``state/run.json``.

    ``number`` counts such runs of this workspace. While ``under_way``, the next one continues it.
    """

    number: int = 0
    under_way: bool = False

    @classmethod
    def of(cls, space: Workspace) -> RunState:
        """As stored; number 0 before the first."""
        file = space.state / "run.json"
        return cls(**read_json(file)) if file.is_file() else cls()

    def write(self, space: Workspace) -> None:
        """Store it."""
        write_json(space.state / "run.json", asdict(self))


def carry_on(
    registry: Registry, settings: Settings, *, start: str = "", values: dict[str, Any] | None = None
) -> str:
    """Hand over what the next run starts with, or leave what a run that was cut off started with.

    ``settings`` are those of params.yaml alone. ``start``: "champion", "base" or "" for
    ``train.start``; ``values``: settings of this run alone, by dotted key. Gives a line for the
    log. Raises RegistryUnavailable, since the model in service must be known, and UserError where
    that is of another base model or rank than the settings.
    """
    space, values = registry.space, values or {}
    own = settings.changed({**values, "train.start": start} if start else values)
    start = own.train.start
    wanted = "champion" in (start, own.memory.start)
    champion = registry.by_alias(CHAMPION) if wanted else None
    trained = champion if start == "champion" else None  # the version whose weights are trained on
    state = RunState.of(space)
    if state.under_way and _begun_with(space, trained):
        return f"run {state.number} was cut off and goes on"
    number = max(state.number, len(registry.versions())) + 1
    # Cut off from here to the last line, the next run starts anew: what is there may be mixed.
    RunState(number - 1).write(space)
    with tempfile.TemporaryDirectory(dir=space.state) as scratch:
        parts = Path(scratch) / "parts"
        if champion is not None:
            registry.download_model(champion, parts)
        if trained is not None:
            _require_same_model(trained, own, parts)
        fill_model(space.handover / "start", "start.json", trained, parts)
        memory = _hand_over_memory(space, own, parts)
    seed = settings.seed + number
    set_for_run(space, settings, {**values, "seed": seed, "train.start": start})
    RunState(number, under_way=True).write(space)
    begins = f"version {trained.number}" if trained else "the base model"
    return f"run {number} starts from {begins} and {memory}, seed {seed}"


def ended(space: Workspace) -> None:
    """The run came to its end, so the next one that carries on is a new one."""
    state = RunState.of(space)
    if state.under_way:
        RunState(state.number).write(space)


def _begun_with(space: Workspace, champion: ModelVersion | None) -> bool:
    """Whether what was handed over is still what a new run would start from."""
    _, card = read_start(space)
    return bool(card) and card["version"] == (champion.number if champion else "")


def _require_same_model(version: ModelVersion, settings: Settings, parts: Path) -> None:
    """Raise UserError when a version's weights do not fit the settings' model."""
    trained = read_json(parts / FILES["settings"])["policy"]
    now = settings.policy.model_dump(mode="json")
    for key in ("model", "lora_rank", "lora_alpha", "lora_targets"):
        if trained.get(key, now[key]) != now[key]:
            raise UserError(
                f"version {version.number}, in service, has policy.{key} {trained[key]}, and"
                f" params.yaml says {now[key]}.",
                hint="Set it back, or start from the base model: --start base.",
            )


def _hand_over_memory(space: Workspace, settings: Settings, parts: Path) -> str:
    """Fill ``handover/memory`` as ``memory.start`` says; says what with."""
    last, own = published_memory(space), parts / FILES["memory"]
    if settings.memory.start == "last" and has_memory(last):
        fill_memory(space, last)
        return "the memory of the last run"
    if settings.memory.start == "champion" and has_memory(own):
        fill_memory(space, own)
        return "the memory of the model in service"
    emptied(space.handover / "memory")
    return "an empty memory"
