"""`dvc exp run`: settings by -S, and experiments in a temporary copy."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from tests.ops.clone import Clone


@pytest.mark.nightly
def test_an_experiment_has_the_settings_it_was_given(clone: Clone) -> None:
    clone.dvc("exp", "run", "-S", "train.steps=3", "train").ok()
    assert yaml.safe_load(clone.space.frozen.read_text())["train"]["steps"] == 3
    lock = yaml.safe_load((clone.root / "dvc.lock").read_text())["stages"]["train"]
    assert lock["params"]["outputs/settings.yaml"]["train"]["steps"] == 3
    curves = (clone.space.output("train") / "curves.csv").read_text().splitlines()
    assert len(curves) == 1 + 3
    newest = next(iter(clone.runs()))  # the tracker gives the newest first
    assert clone.client().get_run(newest).data.params["train.steps"] == "3"


def test_a_key_that_is_no_setting_is_refused(clone: Clone) -> None:
    for words in ("train.stepz=3", "profile=gpu", "+profile=gpu", "+train.stepz=3"):
        done = clone.dvc("exp", "run", "-S", words, "train")
        assert done.code != 0
        assert words.partition("=")[0].removeprefix("+").split(".")[-1] in done.all


@pytest.mark.nightly
def test_an_experiment_in_a_temporary_copy_has_memory_and_record_of_the_workspace(
    clone: Clone,
) -> None:
    for log in (clone.space.output("train") / "memory").glob("*.jsonl"):
        shutil.copyfile(log, clone.space.handover / "memory" / log.name)
    before = len(clone.runs())
    clone.dvc("exp", "run", "--temp", "-S", "memory.demonstrations=3", "seed").ok()
    shown = json.loads(clone.dvc("exp", "show", "--json").ok().out)
    assert '"carried_over": 0.0' in json.dumps(shown)
    carried = json.dumps(shown).split('"carried_over": ')[1:]
    assert any(float(part.split(",")[0].split("}")[0]) > 0 for part in carried)
    assert len(clone.runs()) > before
