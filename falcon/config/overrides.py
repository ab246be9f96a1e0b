"""Overrides: single settings from the command line (``--set``) and from the environment.

Both are read here as YAML, like values of ``params.yaml``; ``reading`` checks and applies them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from falcon.config.settings import Settings
from falcon.errors import UserError

PREFIX = "FALCON_SET__"
"""Begins the name of a variable that overrides a setting: ``FALCON_SET__TRAIN__STEPS=3``."""


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

    tree = Variables(Settings, env_prefix=PREFIX, env_nested_delimiter="__")()  # type: ignore[arg-type]
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
