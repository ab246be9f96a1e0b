"""Reading: from ``params.yaml`` and overrides to checked settings.

Later sources win: class defaults, keys of the file, a profile that a command names, the environment
(``FALCON_SET__...``), the command line (``--set``). Overrides are YAML, like values of the file.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from falcon.config.profiles import FREE, PARAMS, profile_file, profile_values, read_tree
from falcon.config.settings import Settings, nested, overlay, refuse_unknown, validated
from falcon.errors import UserError

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

    Stages read the settings that were frozen for the run, and DVC compares those.
    """
    for each in environment_overrides():
        if each.path.partition(".")[0] not in FREE:
            raise UserError(
                f"{each.source}: stages take `{each.path}` from params.yaml alone.",
                hint=f"Unset it and use `--set {each.path}=VALUE`, which is written there.",
            )


def resolve(
    tree: dict[str, Any], file: Path = PARAMS, overrides: Sequence[Override] = ()
) -> Settings:
    """Settings of a parsed ``params.yaml`` with overrides on top; of two, the later one counts.

    Raises UserError for an unknown key and for values out of range, with the path.
    """
    refuse_unknown(tree, str(file))
    merged = tree
    for each in overrides:
        change = nested(each.path, each.value)
        refuse_unknown(change, each.source)
        merged = overlay(merged, change)
    merged = {key: value for key, value in merged.items() if value is not None}  # "train:" alone
    sources = {each.path: each.source for each in overrides}
    return validated(merged, sources, str(file))


def profile_overrides(root: Path, name: str) -> list[Override]:
    """The values of a profile as overrides. Raises UserError for an unknown one."""
    source = str(profile_file(root, name))
    return [Override(key, value, source) for key, value in profile_values(root, name).items()]


def load_settings(file: Path = PARAMS, profile: str = "") -> Settings:
    """Read and resolve ``params.yaml``, with the values of ``profile`` in place of its own.

    Raises UserError when the file is absent or malformed, and for an unknown profile.
    """
    tree = read_tree(file)
    values = profile_overrides(file.parent, profile) if profile else []
    return resolve(tree, file, [*values, *environment_overrides(), *_command])


def load_frozen(file: Path) -> Settings:
    """Read the resolved settings of a run, with what this process overrides of ``FREE``."""
    free = [each for each in environment_overrides() if each.path.partition(".")[0] in FREE]
    return resolve(read_tree(file), file, free)


def settings_at(root: Path) -> Settings:
    """The settings of a workspace; the defaults where there is no ``params.yaml``."""
    file = root / PARAMS
    if file.is_file():
        return load_settings(file)
    return resolve({}, file, [*environment_overrides(), *_command])
