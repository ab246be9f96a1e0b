"""What a run that carries on takes over, from a real SQLite registry."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import yaml
from pipeline_workspace import sh
from trained_results import trained

from falcon.config import Settings, parse_overrides
from falcon.errors import UserError
from tasks.support import next_run
from tasks.support.errors import RegistryUnavailable
from tasks.support.files import path_md5
from tasks.support.handover import read_start, start_adapter
from tasks.support.next_run import RunState
from tasks.support.params import run_settings, write_settings
from tasks.support.registry import Registry
from tasks.support.workspace import Workspace


def carry_on(space: Workspace, **options: Any) -> str:
    return next_run.carry_on(Registry.here(), space.settings(), **{"start": "champion", **options})


def served(space: Workspace, seed: int, opponent: str = "base") -> str:
    """A model put into service; its number."""
    trained(space, seed, opponent)
    return Registry.here().promote(automatic=True).number


def test_the_first_run_starts_from_the_base_model(space: Workspace) -> None:
    assert carry_on(space) == "run 1 starts from the base model and an empty memory, seed 1"
    settings = run_settings(space)
    assert (settings.seed, settings.train.start) == (1, "champion")
    assert read_start(space) == (None, {"version": "", "policy": ""})
    assert start_adapter(space, settings) is None


@pytest.mark.flow
def test_a_run_starts_from_the_model_in_service_and_its_memory(space: Workspace) -> None:
    number = served(space, 1)
    begun = f"run 2 starts from version {number} and the memory of the model in service, seed 2"
    assert carry_on(space) == begun
    adapter = start_adapter(space, run_settings(space))
    assert adapter is not None
    assert path_md5(adapter) == path_md5(space.output("train") / "policy")
    assert [log.name for log in (space.handover / "memory").glob("*.jsonl")]
    status = sh(space.root, "git", "status", "--porcelain", "--", "handover")
    assert status.stdout == ""  # what is handed over never gets into git, and its READMEs stay
    # The base model, on demand; what the one before started from is gone.
    next_run.ended(space)
    assert "the base model and the memory of" in carry_on(space, start="base")
    assert start_adapter(space, run_settings(space)) is None
    assert not (space.handover / "start" / "adapter").exists()


@pytest.mark.flow
def test_a_run_that_was_cut_off_goes_on_unless_another_model_serves(space: Workspace) -> None:
    served(space, 1)
    carry_on(space)
    begun = (space.handover / "run" / "settings.yaml").read_text()
    assert carry_on(space) == "run 2 was cut off and goes on"
    assert (space.handover / "run" / "settings.yaml").read_text() == begun
    next_run.ended(space)
    assert carry_on(space).startswith("run 3 starts from version 1")
    served(space, 2, "champion")
    assert carry_on(space).startswith("run 4 starts from version 2")


@pytest.mark.flow
def test_without_the_registry_no_run_begins_and_none_is_taken_for_begun(space: Workspace) -> None:
    served(space, 1)
    artifacts = space.state / "mlartifacts"
    artifacts.rename(space.state / "away")
    with pytest.raises((RegistryUnavailable, UserError)):
        carry_on(space)
    assert not RunState.of(space).under_way
    (space.state / "away").rename(artifacts)
    assert carry_on(space).startswith("run 2 starts from version 1")


@pytest.mark.flow
def test_a_model_that_does_not_fit_the_settings_is_named_before_any_work(space: Workspace) -> None:
    served(space, 1)
    settings = space.settings().changed({"policy.lora_rank": 4})
    with pytest.raises(UserError, match=r"version 1, in service, has policy.lora_rank 16") as fault:
        next_run.carry_on(Registry.here(), settings, start="champion")
    assert "--start base" in fault.value.hint


def test_values_of_this_run_alone_hold_until_params_yaml_is_edited(space: Workspace) -> None:
    carry_on(space, values={"train.steps": 300})
    assert run_settings(space).train.steps == 300
    tree = yaml.safe_load((space.root / "params.yaml").read_text())
    tree["train"]["steps"] = 9
    (space.root / "params.yaml").write_text(yaml.safe_dump(tree))
    assert run_settings(space).train.steps == 9
    assert run_settings(space).seed == 1
    # A command may give the value that params.yaml has; then that counts, too.
    write_settings(space, "", parse_overrides(["seed=0"]))
    assert run_settings(space).seed == 0


def test_a_start_that_was_never_handed_over_is_named(space: Workspace) -> None:
    shutil.rmtree(space.handover / "start")
    settings = Settings().changed({"train.start": "champion"})
    with pytest.raises(UserError, match="handover/start holds no model"):
        start_adapter(space, settings)
