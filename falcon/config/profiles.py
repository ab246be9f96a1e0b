"""Profiles: files of values, ``profiles/NAME.yaml``, for one kind of machine each.

A profile is a sparse tree of settings. Choosing one gives every key that any profile names a value:
that of the profile, else the class default. So nothing is left over from the profile before.
"""

import difflib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from falcon.config.settings import Settings, refuse_unknown
from falcon.errors import UserError

PARAMS = Path("params.yaml")
PROFILES = Path("profiles")

FREE = ("machine", "notify", "tracking")
"""Sections that change no result, so that no stage depends on them."""

CHOSEN = ("policy.model", "data.sources", "benchmark.names")
"""What a run is about, and not how large it is: a user's own choice outlasts a profile that does not
name it."""

CUSTOM = "custom"
"""The name of settings that are no profile's."""


def read_tree(file: Path) -> dict[str, Any]:
    """A YAML file of settings. Raises UserError when it is absent or malformed."""
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
    return tree


def leaves(tree: Mapping[str, Any], at: Any = Settings, path: str = "") -> dict[str, Any]:
    """The values of a tree of settings by dotted key. A section without values has none."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        section = at.model_fields[key].annotation
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            flat[f"{path}{key}"] = value
        elif isinstance(value, Mapping):
            flat |= leaves(value, section, f"{path}{key}.")
    return flat


@cache
def defaults() -> dict[str, Any]:
    """The class default of every setting, by dotted key."""
    return leaves(Settings().model_dump(mode="json"))


def profile_names(root: Path) -> list[str]:
    """The profiles of a workspace."""
    return sorted(file.stem for file in (root / PROFILES).glob("*.yaml"))


def profile_file(root: Path, name: str) -> Path:
    """The file of a profile. Raises UserError when there is none of that name."""
    names = profile_names(root)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        listed = ", ".join(names) or f"none in {root / PROFILES}"
        hint = f"Did you mean `{near[0]}`?" if near else f"Profiles: {listed}."
        raise UserError(f"unknown profile `{name}`.", hint=hint)
    return root / PROFILES / f"{name}.yaml"


def _own_values(file: Path) -> dict[str, Any]:
    tree = read_tree(file)
    refuse_unknown(tree, str(file))
    return leaves(tree)


def profile_values(root: Path, name: str) -> dict[str, Any]:
    """Values by dotted key: of each key that any profile names, ``name``'s, else the default.

    A value of ``CHOSEN`` in params.yaml that is no profile's stays, so it is not among them. Raises
    UserError for an unknown profile, and for an unknown key in any of the files.
    """
    own = _own_values(profile_file(root, name))
    others = [_own_values(profile_file(root, other)) for other in profile_names(root)]
    named = dict.fromkeys(key for values in others for key in values)
    file = root / PARAMS
    present = leaves(read_tree(file)) if file.is_file() else {}

    def stays(key: str) -> bool:
        known = [defaults()[key], *(values[key] for values in others if key in values)]
        return key in CHOSEN and key not in own and present.get(key, known[0]) not in known

    return {key: own.get(key, defaults()[key]) for key in named if not stays(key)}


def profile_of(settings: Settings, root: Path) -> str:
    """The profile whose values all hold, but for those of ``FREE``; ``CUSTOM`` if there is none."""
    held = leaves(settings.model_dump(mode="json"))
    for name in profile_names(root):
        values = profile_values(root, name)
        # Checked values, so that 1 and 1.0 or a bare `off` compare as they are meant.
        wanted = leaves(Settings().changed(values).model_dump(mode="json"))
        if all(held[key] == wanted[key] for key in values if key.partition(".")[0] not in FREE):
            return name
    return CUSTOM
