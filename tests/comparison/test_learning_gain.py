"""The learning study with a tiny model: what differs between arms, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from falcon.comparison import learning_gain as study
from falcon.comparison.arms import by_problem
from tests.comparison.study_setups import run_study
from tests.models import tiny_causal
from tests.training.setups import make_settings


def test_arms_write_as_many_programs_and_differ_in_what_they_are_about(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path, train={"steps": 9, "meta": {"samples": 4, "evaluation_samples": 2}}
    )
    plain, mrlf = (study.settings_of(settings, arm, 5) for arm in ("plain", "mrlf"))
    assert plain.train.steps * 4 >= mrlf.train.steps * (4 + 2)
    assert (plain.train.meta.order, plain.train.meta.long_batch, plain.memory.at) == (0, 0, "off")
    assert plain.train.loss.sl == plain.train.loss.coarse == plain.train.loss.error == 1.0
    assert plain.train.loss.style == plain.train.loss.negative == 0.0
    assert mrlf.memory == settings.memory
    assert mrlf.train.meta == settings.train.meta
    assert mrlf.train.loss == settings.train.loss
    assert plain.seed == mrlf.seed == 5


def test_the_study_compares_each_arm_with_those_before(tmp_path: Path) -> None:
    model = tiny_causal(tmp_path / "model", chat=True)
    result = run_study(study, tmp_path, model)
    assert result == json.loads((tmp_path / "out" / "study.json").read_text())
    assert (result["problems"], result["samples"], result["seeds"]) == (3, 2, [7])
    assert result["steps"] == {"plain": 2, "mrlf": 1}
    for way in ("sampled", "greedy"):
        rows = result["scores"][way]
        assert set(rows["mrlf"]["pass@1"]) == {"mean", "against_base", "against_plain"}
        frames = [
            pd.read_parquet(tmp_path / "out" / "seed-7" / arm / way / "samples.parquet")
            for arm in ("base", "mrlf")
        ]
        assert [len(frame) for frame in frames] == [6, 6] if way == "sampled" else [3, 3]
        tables = [by_problem([frame]) for frame in frames]
        for column, name in study.MEASURES.items():
            means = [float(table[column].mean()) for table in tables]
            assert rows["base"][name]["mean"]["value"] == pytest.approx(means[0], abs=1e-6)
            gain = rows["mrlf"][name]["against_base"]["value"]
            assert gain == pytest.approx(means[1] - means[0], abs=2e-6)
    curves = pd.read_csv(tmp_path / "out" / "seed-7" / "mrlf" / "curves.csv")
    assert result["adaptation_gain"]["value"] == pytest.approx(
        curves["adaptation_gain"].mean(), abs=1e-5
    )
    assert (tmp_path / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| mrlf - plain | greedy |" in table
    assert "3 held-out problems, 2 samples each, seeds 7; steps: plain 2, mrlf 1" in table


def test_other_steps_train_anew_but_do_not_score_the_untrained_model_again(tmp_path: Path) -> None:
    model = tiny_causal(tmp_path / "model", chat=True)
    files = [
        tmp_path / "out" / "seed-7" / arm / "sampled" / "samples.parquet"
        for arm in ("base", "mrlf")
    ]
    run_study(study, tmp_path, model)
    before = [file.stat().st_mtime_ns for file in files]
    result = run_study(study, tmp_path, model, steps=2)
    after = [file.stat().st_mtime_ns for file in files]
    assert after[0] == before[0]
    assert after[1] > before[1]
    assert result["steps"]["mrlf"] == 2
