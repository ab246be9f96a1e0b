"""Reading: from ``params.yaml``, a profile and overrides to checked settings.

Later sources win: class defaults, keys of the file, the block ``profiles.NAME`` of the active
profile, the environment (``FALCON_SET__...``), the command line (``--set``). Overrides are YAML,
like values of the file.
"""

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from falcon.config.settings import Settings, nested, overlay, refuse_unknown, validated
from falcon.errors import UserError

PARAMS = Path("params.yaml")

FREE = ("machine", "tracking")  # Sections that no stage of `dvc.yaml` depends on

PREFIX = "FALCON_SET__"  # of variables that override settings: FALCON_SET__TRAIN__STEPS=3


@dataclass(frozen=True)
class Override:
    """A setting's dotted path, its value, and where it was given."""

    path: str
    value: Any
    source: str


def parse_overrides(texts: Iterable[str]) -> list[Override]:
    """Overrides of the form ``section.key=value``. Raises UserError for any other text."""
    overrides = []
    for text in texts:
        path, equals, value = text.partition("=")
        source = f"--set {path}"
        if not equals or not path.strip():
            raise UserError(f"{source}: no value.", hint="Write --set section.key=value.")
        overrides.append(Override(path.strip(), _value(value, source), source))
    return overrides


def environment_overrides() -> list[Override]:
    """One override for each variable whose name begins with ``PREFIX``."""
    names = sorted(name for name in os.environ if name.startswith(PREFIX))
    if not names:
        return []  # without the third of a second that the import takes
    from pydantic_settings import EnvSettingsSource

    class Variables(EnvSettingsSource):
        def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
            return value  # read as YAML below; pydantic-settings would read lists as JSON

    model: Any = Settings  # annotated as BaseSettings there, but only its fields are read
    tree = Variables(model, env_prefix=PREFIX, env_nested_delimiter="__")()
    overrides = []
    for name in names:
        path = name.removeprefix(PREFIX).lower().replace("__", ".")
        value: Any = tree
        for key in path.split("."):  # a name that is no setting is not in the tree
            value = value.get(key) if isinstance(value, dict) else None
        overrides.append(Override(path, _value(str(value), name), name))
    return overrides


def _value(text: str, source: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"{source}: `{text}` is not valid YAML.") from None


_command: list[Override] = []  # of the command line; one for the process, as the environment is


def set_overrides(overrides: Sequence[Override]) -> None:
    """Override settings for the rest of this process; those set before no longer count."""
    _command[:] = overrides


def command_overrides() -> list[Override]:
    """The overrides of the command line."""
    return list(_command)


def require_file_settings() -> None:
    """Raise UserError for a variable that changes what a stage makes.

    DVC compares ``params.yaml`` alone, so it would call results of other settings up to date.
    """
    for each in environment_overrides():
        if each.path.partition(".")[0] not in FREE:
            raise UserError(
                f"{each.source}: stages take `{each.path}` from params.yaml, as DVC does.",
                hint=f"Unset it and use `--set {each.path}=VALUE`, which is written there.",
            )


def _profile_block(profiles: dict[str, Any], name: str, file: Path) -> dict[str, Any]:
    if name not in profiles and (profiles or name != "quick"):  # quick: the class defaults
        near = difflib.get_close_matches(name, profiles, n=1)
        names = ", ".join(profiles) or "none"
        hint = f"Did you mean `{near[0]}`?" if near else f"Profiles: {names}."
        raise UserError(f"{file}: unknown profile `{name}`.", hint=hint)
    for each, block in profiles.items():
        if not isinstance(block, dict):
            raise UserError(f"{file}: `profiles.{each}` must be a mapping of settings.")
        refuse_unknown(block, str(file), shown=f"profiles.{each}.")
    return dict(profiles.get(name) or {})


def resolve(
    tree: dict[str, Any],
    file: Path = PARAMS,
    profile: str | None = None,
    overrides: Sequence[Override] = (),
) -> Settings:
    """Settings of a parsed ``params.yaml``, with the active profile's block and overrides on top.

    Raises UserError for an unknown profile or key and for values out of range, with the path.
    """
    tree = dict(tree)  # the caller keeps its `profiles`
    profiles = tree.pop("profiles", None) or {}
    given = {each.path: each.value for each in overrides}  # of two, the later one
    name = profile or str(given.get("profile") or tree.get("profile", "quick"))
    block = _profile_block(profiles, name, file)
    refuse_unknown(tree, str(file))
    merged = overlay(tree, block)
    for each in overrides:
        change = nested(each.path, each.value)
        refuse_unknown(change, each.source)
        merged = overlay(merged, change)
    merged = {key: value for key, value in merged.items() if value is not None}  # "train:" alone
    sources = {each.path: each.source for each in overrides}
    return validated(merged | {"profile": name}, sources, str(file))


def load_settings(file: Path = PARAMS, profile: str | None = None) -> Settings:
    """Read and resolve ``params.yaml``. Raises UserError when it is absent or malformed."""
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{file.absolute()} is not there.", hint="Run inside a clone of the repository."
        ) from None
    except yaml.YAMLError as fault:
        line = getattr(getattr(fault, "problem_mark", None), "line", -1) + 1  # YAML counts from 0
        raise UserError(f"{file}: not valid YAML (line {line}).") from None
    tree = {} if tree is None else tree  # an empty file
    if not isinstance(tree, dict):
        raise UserError(f"{file}: the top level must be a mapping.")
    return resolve(tree, file, profile, [*environment_overrides(), *_command])


def settings_at(root: Path) -> Settings:
    """The settings of a workspace; the defaults where there is no ``params.yaml``."""
    file = root / PARAMS
    if file.is_file():
        return load_settings(file)
    return resolve({}, file, overrides=[*environment_overrides(), *_command])
