"""Settings: what the file, the class defaults and the docs promise of each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from falcon.config import PARAMS, MachineSettings, Settings, TrainSettings, resolve
from falcon.config.settings import MOVED
from falcon.errors import UserError
from falcon.training.methods import METHODS

ROOT = Path(__file__).parents[2]


def leaves(section: type[BaseModel] = Settings, path: str = "") -> Iterator[str]:
    """Dotted keys of all settings."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def value_at(tree: Any, path: str) -> Any:
    for key in path.split("."):
        tree = tree[key]
    return tree


def test_the_file_ships_the_class_defaults() -> None:
    tree = yaml.safe_load((ROOT / PARAMS).read_text())
    shipped = resolve({key: value for key, value in tree.items() if key != "profiles"})
    assert shipped == Settings()
    assert set(tree) - {"profiles"} == set(Settings.model_fields)


def test_every_setting_is_read_somewhere() -> None:
    read = set()
    for folder in ("falcon", "tasks", "flows"):
        for file in (ROOT / folder).rglob("*.py"):
            if file.parent.name != "config":
                nodes = ast.walk(ast.parse(file.read_text()))
                read |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    # Weights of losses are read by the names of the losses.
    keys = [path for path in leaves() if not path.startswith("train.loss.")]
    assert [path for path in keys if path.split(".")[-1] not in read] == []


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_a_moved_key_is_refused_with_its_new_place(old: str, new: str) -> None:
    section, key = old.split(".")
    assert new in set(leaves())
    assert old not in set(leaves())
    with pytest.raises(UserError, match=f"params.yaml: `{old}` is now `{new}`"):
        resolve({section: {key: 1}})
    with pytest.raises(UserError, match=f"`profiles.quick.{old}` is now `profiles.quick.{new}`"):
        resolve({"profiles": {"quick": {section: {key: 1}}}})


def test_every_method_that_may_be_chosen_is_there() -> None:
    assert set(METHODS) == set(get_args(TrainSettings.model_fields["method"].annotation))


def test_no_stage_depends_on_machine_settings() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    watched = {name.split(".")[-1] for stage in stages for name in stage["params"]}
    assert not watched & {"machine", *MachineSettings.model_fields}


def test_a_change_is_checked_like_the_file() -> None:
    settings = Settings().changed({"train.steps": 3, "train.meta.order": 2})
    assert (settings.train.steps, settings.train.meta.order) == (3, 2)
    assert settings.train.learning_rate == Settings().train.learning_rate
    with pytest.raises(UserError, match=r"`train.steps`: Input should be greater"):
        settings.changed({"train.steps": 0})
