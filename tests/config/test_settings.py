"""Settings: what the file, the class defaults and the docs promise of each other."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from typing import get_args

import pytest
import yaml

from falcon.config import (
    FREE,
    PARAMS,
    Settings,
    TrainSettings,
    load_settings,
    profile_names,
    profile_of,
    profile_values,
    read_tree,
    resolve,
)
from falcon.config.profiles import defaults
from falcon.config.settings import MOVED
from falcon.errors import UserError
from falcon.training.methods import METHODS

ROOT = Path(__file__).parents[2]


def test_the_file_ships_the_profile_quick_and_full_is_the_class_defaults() -> None:
    assert load_settings(ROOT / PARAMS) == load_settings(ROOT / PARAMS, "quick")
    assert load_settings(ROOT / PARAMS, "full") == Settings()
    assert set(read_tree(ROOT / PARAMS)) == set(Settings.model_fields)


def test_a_profile_sets_every_key_that_any_profile_names() -> None:
    assert profile_names(ROOT) == ["code", "full", "gpu", "quick"]
    values = {name: profile_values(ROOT, name) for name in profile_names(ROOT)}
    assert list(values["full"]) == list(values["gpu"]) == list(values["quick"])
    # Named by gpu alone: quick gets the class default, so nothing of gpu is left over.
    assert values["gpu"]["machine.workers"] == 12
    assert values["quick"]["machine.workers"] == Settings().machine.workers
    assert values["gpu"]["benchmark.limit"] == 0
    # Named by code alone.
    assert values["code"]["policy.model"] == "qwen2.5-coder-0.5b-instruct"
    assert values["gpu"]["policy.model"] == Settings().policy.model


def test_a_model_of_ones_own_outlasts_profiles_that_name_none(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    file = tmp_path / PARAMS
    file.write_text("policy: {model: mine}\ndata: {sources: ['jsonl:mine.jsonl']}\n")
    for name in ("quick", "gpu", "full"):
        settings = load_settings(file, name)
        assert (settings.policy.model, settings.data.sources) == ("mine", ("jsonl:mine.jsonl",))
        assert profile_of(settings, tmp_path) == name
    code = load_settings(file, "code")
    assert code.policy.model == "qwen2.5-coder-0.5b-instruct"
    # What another profile has put there does not.
    file.write_text(f"policy: {{model: {code.policy.model}}}\n")
    assert load_settings(file, "quick").policy.model == Settings().policy.model
    assert profile_of(load_settings(file), tmp_path) != "quick"


def test_the_profile_of_settings_is_the_one_whose_values_all_hold() -> None:
    settings = load_settings(ROOT / PARAMS)
    assert profile_of(settings, ROOT) == "quick"
    assert profile_of(load_settings(ROOT / PARAMS, "gpu"), ROOT) == "gpu"
    assert profile_of(settings.changed({"train.steps": 7}), ROOT) == "custom"
    same = settings.changed({"seed": 5, "machine.workers": 9, "tracking.experiment": "x"})
    assert profile_of(same, ROOT) == "quick"


def test_a_wrong_profile_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / PARAMS).write_text("")
    (tmp_path / "profiles").mkdir()
    bad = tmp_path / "profiles" / "small.yaml"
    for text, message in (
        ("train: {stepz: 3}", "small.yaml: unknown key `train.stepz`. Did you mean `steps`?"),
        ("train: {steps: 0}", "small.yaml: `train.steps`: Input should be greater"),
        ("train: [", "small.yaml: not valid YAML"),
        ("profile: x", "small.yaml: `profile` is no setting"),
    ):
        bad.write_text(text)
        with pytest.raises(UserError) as fault:
            load_settings(tmp_path / PARAMS, "small")
        assert message in str(fault.value)
    with pytest.raises(UserError, match=r"unknown profile `smal`\. Did you mean `small`"):
        load_settings(tmp_path / PARAMS, "smal")


def test_an_old_file_is_refused_by_a_line_that_says_what_to_do() -> None:
    for tree in ({"profile": "quick", "seed": 1}, {"profiles": {"quick": {}}}):
        with pytest.raises(UserError, match=r"a profile is a file.*docs/upgrading\.md"):
            resolve(tree)


def test_every_setting_is_read_somewhere() -> None:
    read = set()
    for folder in ("falcon", "tasks", "flows"):
        for file in (ROOT / folder).rglob("*.py"):
            if file.parent.name != "config":
                nodes = ast.walk(ast.parse(file.read_text()))
                read |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    # Weights of losses are read by the names of the losses.
    keys = [path for path in defaults() if not path.startswith("train.loss.")]
    assert [path for path in keys if path.split(".")[-1] not in read] == []


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_a_moved_key_is_refused_with_its_new_place(old: str, new: str) -> None:
    section, key = old.split(".")
    assert new in set(defaults())
    assert old not in set(defaults())
    with pytest.raises(UserError, match=f"params.yaml: `{old}` is now `{new}`"):
        resolve({section: {key: 1}})


def test_every_method_that_may_be_chosen_is_there() -> None:
    assert set(METHODS) == set(get_args(TrainSettings.model_fields["method"].annotation))


def test_no_stage_depends_on_machine_settings() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert "params" not in stages.pop("code")
    for name, stage in stages.items():
        (file, keys), *others = stage["params"][0].items()
        assert not others
        assert file == ("params.yaml" if name == "settings" else "outputs/settings.yaml")
        assert not {key.split(".")[0] for key in keys or ()} & set(FREE), name


def test_a_change_is_checked_like_the_file() -> None:
    settings = Settings().changed({"train.steps": 3, "train.meta.order": 2})
    assert (settings.train.steps, settings.train.meta.order) == (3, 2)
    assert settings.train.learning_rate == Settings().train.learning_rate
    with pytest.raises(UserError, match=r"`train.steps`: Input should be greater"):
        settings.changed({"train.steps": 0})


def followers(key: str) -> set[str]:
    """The stages of `dvc.yaml` that run again when this setting changes."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    found = set()
    for name, stage in stages.items():
        for named in (stage.get("params") or [{}])[0].get("outputs/settings.yaml") or ():
            if f"{key}.".startswith(f"{named}."):
                found.add(name)
    return found


@pytest.mark.parametrize("key", defaults())
def test_every_setting_that_changes_a_result_makes_a_stage_run_again(key: str) -> None:
    section = key.partition(".")[0]
    if section in FREE:
        assert followers(key) == set()
    else:  # the gate follows all, since its decision names the settings that it is on
        assert "gate" in followers(key)
        assert section == "gate" or len(followers(key)) > 1, key


@pytest.mark.parametrize(
    ("key", "stages"),
    {
        "seed": {"seed", "rollout", "train", "benchmark"},
        "data.sources": {"prepare"},
        "memory.encoder": {"prepare", "seed", "rollout", "train", "benchmark"},
        "benchmark.names": {"prepare", "benchmark"},
        "train.meta.inner_lr": {"train", "benchmark"},
        "train.start": {"rollout", "train"},
        "gate.confidence": {"benchmark"},
        "gate.max_fault_rate": {"rollout"},
        "gate.tolerance": set(),
    }.items(),
)
def test_a_setting_makes_those_stages_run_again_that_use_it(key: str, stages: set[str]) -> None:
    assert followers(key) >= {*stages, "gate"}
