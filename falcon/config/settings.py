"""The tree of all settings, and the check of a mapping against it.

The class defaults are those of a strong machine (profile ``full``). Unknown keys are refused with their path and the
nearest valid name; a key that was moved, with its new place. There are no aliases.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from falcon.config.sections import (
    DataSettings,
    FeedbackSettings,
    MachineSettings,
    MemorySettings,
    NotifySettings,
    PolicySettings,
    SamplingSettings,
    SandboxSettings,
    Section,
    TrackingSettings,
)
from falcon.config.training import BenchmarkSettings, GateSettings, RolloutSettings, TrainSettings
from falcon.errors import UserError

MOVED = {  # old keys and their new places
    "benchmark.suites": "benchmark.names",
    "memory.carry_over": "memory.start",
    "memory.search": "machine.search",
    "memory.server": "machine.server",
    "sandbox.allow_weak": "machine.allow_weak",
    "sandbox.cache": "machine.cache",
    "sandbox.retries": "machine.retries",
    "sandbox.workers": "machine.workers",
    "train.processes": "machine.processes",
    "train.shard": "machine.shard",
}

BLOCKS = ("profile", "profiles")  # top-level keys of old files of settings


class Settings(Section):
    """Everything a pipeline run depends on."""

    seed: int = 0
    data: DataSettings = DataSettings()
    policy: PolicySettings = PolicySettings()
    sampling: SamplingSettings = SamplingSettings()
    sandbox: SandboxSettings = SandboxSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    memory: MemorySettings = MemorySettings()
    rollout: RolloutSettings = RolloutSettings()
    train: TrainSettings = TrainSettings()
    benchmark: BenchmarkSettings = BenchmarkSettings()
    gate: GateSettings = GateSettings()
    tracking: TrackingSettings = TrackingSettings()
    notify: NotifySettings = NotifySettings()
    machine: MachineSettings = MachineSettings()

    def changed(self, values: Mapping[str, Any]) -> Settings:
        """A copy with other values, by dotted key. Raises UserError for values out of range."""
        tree = self.model_dump()  # model_copy would not check the new values
        for path, value in values.items():
            tree = overlay(tree, nested(path, value))
        return validated(tree, {})


def nested(path: str, value: Any) -> dict[str, Any]:
    """``{"train": {"steps": 3}}`` of ``train.steps`` and 3."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


def overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``top`` in place of its own."""
    merged = dict(base)
    for key, value in top.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = overlay(old, value)  # sections merge; all else, lists too, is replaced
        merged[key] = value
    return merged


def refuse_unknown(
    tree: dict[str, Any], source: str, *, path: str = "", at: Any = Settings
) -> None:
    """Raise UserError for a key that is no setting, with its path."""
    for key, value in tree.items():
        here = f"{path}{key}"
        if here in BLOCKS:
            raise UserError(
                f"{source}: `{here}` is no setting; a profile is a file, profiles/NAME.yaml,"
                " and every key of params.yaml counts.",
                hint="Use --profile NAME. docs/upgrading.md says what to do with an old file.",
            )
        if here in MOVED:
            raise UserError(f"{source}: `{here}` is now `{MOVED[here]}`.")
        field = at.model_fields.get(str(key))  # YAML reads some keys as numbers
        if field is None:
            near = difflib.get_close_matches(str(key), at.model_fields, n=1, cutoff=0.5)
            hint = f"Did you mean `{near[0]}`?" if near else f"Valid: {', '.join(at.model_fields)}."
            raise UserError(f"{source}: unknown key `{here}`.", hint=hint)
        section = field.annotation  # wrong kinds of value are left to pydantic
        if isinstance(section, type) and issubclass(section, BaseModel) and isinstance(value, dict):
            refuse_unknown(value, source, path=f"{here}.", at=section)


def validated(tree: dict[str, Any], sources: Mapping[str, str], file: str = "settings") -> Settings:
    """The settings of a tree. ``sources`` says where a path comes from if it is not from ``file``.

    Raises UserError for a value out of range, with its path and where it comes from.
    """
    try:
        return Settings.model_validate(tree)
    except ValidationError as fault:
        first = fault.errors()[0]  # a message is one line
        where = ".".join(str(part) for part in first["loc"])
        # A check of a whole section is named by the section, so a source below it counts, too.
        near = [s for p, s in sources.items() if f"{p}.".startswith(f"{where}.")]
        near += [s for p, s in sources.items() if where.startswith(f"{p}.")]
        raise UserError(f"{[file, *near][-1]}: `{where}`: {first['msg']}.") from None
