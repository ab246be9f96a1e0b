"""The four arms of Table IV with a tiny model: alike but for what the arm is about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from falcon.comparison import memory_ablation as study
from tests.comparison.study_setups import run_study
from tests.models import tiny_causal
from tests.training.setups import make_settings


def test_what_differs_between_arms_is_what_the_arm_is_about(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, memory={"at": "train"})
    none, long, short, both = (study.settings_of(settings, name, 3) for name in study.ARMS)
    assert none.train.meta.order == 0
    assert none.train.loss.model_dump() == dict.fromkeys(none.train.loss.model_dump(), 0.0) | {
        "sl": 1.0
    }
    assert (long.memory.at, both.memory.at) == ("train", "train")
    assert (short.memory.at, short.memory.error_share, short.train.meta.long_batch) == (
        "off",
        "uniform",
        0,
    )
    assert [a.train.meta.latest_rewards for a in (long, short, both)] == [False, True, True]
    assert long.train.meta.long_batch == both.train.meta.long_batch > 0
    assert long.train.loss == short.train.loss == both.train.loss == settings.train.loss
    for arm in (none, long, short, both):
        assert arm.seed == 3
        assert arm.train.steps == settings.train.steps
        assert arm.train.meta.samples == settings.train.meta.samples
        assert arm.sampling == settings.sampling


def test_a_study_goes_on_where_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import falcon.training

    model = tiny_causal(tmp_path / "model", chat=True)
    trained: list[Path] = []
    original = falcon.training.train

    def counted(*arguments: Any, **named: Any) -> Any:
        trained.append(named["folders"].out)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return original(*arguments, **named)

    monkeypatch.setattr(falcon.training, "train", counted)
    with pytest.raises(KeyboardInterrupt):
        run_study(study, tmp_path, model)
    assert not (tmp_path / "out" / "study.json").exists()
    result = run_study(study, tmp_path, model)
    assert len(trained) == 3 + 2  # two arms were done, the third began anew
    again = run_study(study, tmp_path, model)
    assert len(trained) == 5
    assert again == result == json.loads((tmp_path / "out" / "study.json").read_text())
    assert list(result["arms"]) == ["none", "long", "short", "both"]
    base = result["arms"]["none"]
    assert base["pass@1"]["against_none"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert set(base["by_difficulty"]) == {"introductory", "interview", "competition"}
    assert base["all_weighted"] == 0.0
    table = (tmp_path / "out" / "table.md").read_text().splitlines()
    assert [line[:9] for line in table[2:6]] == ["| - | - |", "| x | - |", "| - | x |", "| x | x |"]
    assert "3 held-out problems, 2 samples each, seeds 7, 1 steps, recall both" in table[-1]
