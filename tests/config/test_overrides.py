"""Overrides by ``--set`` and by variables: values, order, and the same checks as the file's."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from falcon.config import load_settings, parse_overrides, require_file_settings, set_overrides
from falcon.config.reading import PREFIX, environment_overrides
from falcon.errors import UserError


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of settings; overrides of the test are gone after it."""
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump({"train": {"steps": 9}, "seed": 4}))
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "gpu.yaml").write_text(yaml.safe_dump({"train": {"steps": 7}}))
    monkeypatch.setattr("falcon.config.reading._command", [])
    return file


def test_later_sources_win(params: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(params).train.steps == 9
    assert load_settings(params, "gpu").train.steps == 7
    monkeypatch.setenv(f"{PREFIX}TRAIN__STEPS", "11")
    monkeypatch.setenv(f"{PREFIX}SEED", "12")
    assert load_settings(params).train.steps == 11
    set_overrides(parse_overrides(["train.steps=13", "train.meta.inner_lr=1e-4"]))
    settings = load_settings(params, "gpu")
    assert (settings.train.steps, settings.seed) == (13, 12)
    assert settings.train.meta.inner_lr == 1e-4


def test_values_are_yaml_in_both(params: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}DATA__SOURCES", "[builtin, 'mbpp:x.jsonl']")
    monkeypatch.setenv(f"{PREFIX}MEMORY__AT", "off")
    monkeypatch.setenv(f"{PREFIX}MEMORY__MIN_SCORE", "null")
    set_overrides(parse_overrides(["machine.cache=false", "train.meta={order: 2, tasks: 3}"]))
    settings = load_settings(params)
    assert settings.data.sources == ("builtin", "mbpp:x.jsonl")
    assert (settings.memory.at, settings.memory.min_score) == ("off", None)
    assert not settings.machine.cache
    assert (settings.train.meta.order, settings.train.meta.tasks) == (2, 3)


BAD = {
    "train.stepz=3": "unknown key `train.stepz`. Did you mean `steps`?",
    "trian.steps=3": "unknown key `trian`. Did you mean `train`?",
    "train.steps=0": "`train.steps`: Input should be greater than or equal to 1",
    "train.steps=[": "`[` is not valid YAML",
    "sandbox.workers=3": "`sandbox.workers` is now `machine.workers`",
    "profile=gpu": "`profile` is no setting; a profile is a file",
    "feedback.judge=recorded": "judge: recorded needs recorded_scores",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_wrong_is_said_with_where_it_was_given(
    params: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    path, _, value = text.partition("=")
    with pytest.raises(UserError) as fault:
        (set_overrides(parse_overrides([text])), load_settings(params))
    assert str(fault.value).startswith(f"--set {path}: ")
    assert BAD[text] in str(fault.value)
    set_overrides([])
    name = PREFIX + path.upper().replace(".", "__")
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as fault:
        load_settings(params)
    assert str(fault.value).startswith(f"{name}: ")
    assert BAD[text] in str(fault.value)


def test_without_a_value_it_is_refused(params: Path) -> None:
    with pytest.raises(UserError, match=r"--set train: no value"):
        parse_overrides(["train"])


def test_only_machine_and_tracking_may_differ_from_the_file_in_a_stage(
    params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}MACHINE__WORKERS", "3")
    monkeypatch.setenv(f"{PREFIX}TRACKING__EXPERIMENT", "other")
    assert len(environment_overrides()) == 2
    require_file_settings()
    monkeypatch.setenv(f"{PREFIX}TRAIN__STEPS", "3")
    with pytest.raises(UserError, match=rf"{PREFIX}TRAIN__STEPS: .*--set train.steps=VALUE"):
        require_file_settings()
