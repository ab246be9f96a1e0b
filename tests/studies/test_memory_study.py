"""The four arms of Table IV with a tiny model: alike but for what the arm is about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from falcon.memory import HashEncoder, LongTermMemory
from falcon.monitor import SilentMonitor
from falcon.problems import Problem
from falcon.studies import memory as study
from tests.models import tiny_causal
from tests.training.setups import PROBLEMS, demonstration, make_problem, make_settings

HELD_OUT = [make_problem(n, "test") for n in (5, 6, 7)]
HELD_OUT[1] = Problem.model_validate(HELD_OUT[1].model_dump() | {"difficulty": "interview"})
HELD_OUT[2] = Problem.model_validate(HELD_OUT[2].model_dump() | {"difficulty": "competition"})


@contextmanager
def _memory(folder: Path, fresh: bool) -> Iterator[LongTermMemory]:
    if fresh:
        for file in folder.glob("*"):
            file.unlink()
    with LongTermMemory.open(folder, HashEncoder(), writable=True) as memory:
        if fresh:
            memory.append([demonstration(p) for p in PROBLEMS[:2]])
        yield memory


def _run(root: Path, model: Path, **changes: Any) -> dict[str, Any]:
    data = root / "data"
    data.mkdir(exist_ok=True)
    fields = {
        "id",
        "source",
        "split",
        "difficulty",
        "statement",
        "entry_point",
        "tests",
        "solutions",
    }
    lines = [p.model_dump_json(include=fields) for p in HELD_OUT]
    (data / "problems.jsonl").write_text("".join(line + "\n" for line in lines))
    settings = make_settings(
        model,
        train={"steps": 1},
        benchmark={"suites": ["builtin"], "samples": 2, "max_new_tokens": 8},
        **changes,
    )
    return study.run_study(
        settings,
        PROBLEMS,
        open_memory=_memory,
        data_dir=data,
        out=root / "out",
        seeds=[7],
        monitor=SilentMonitor(),
    )


def test_what_differs_between_arms_is_what_the_arm_is_about(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, memory={"at": "off"})
    none, long, short, both = (study.settings_of(settings, name, 3) for name in study.ARMS)
    assert none.train.meta.order == 0
    assert none.train.loss.model_dump() == dict.fromkeys(none.train.loss.model_dump(), 0.0) | {
        "sl": 1.0
    }
    assert (long.memory.at, both.memory.at) == ("both", "both")
    assert (short.memory.at, short.memory.error_share, short.train.meta.long_batch) == (
        "off",
        "uniform",
        0,
    )
    assert long.train.loss.negative == 1.0
    assert long.train.loss.coarse == 0.0
    assert short.train.loss == both.train.loss == settings.train.loss
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
    whole = falcon.training.train

    def counted(*arguments: Any, **named: Any) -> Any:
        trained.append(named["out"])
        if len(trained) == 3:
            raise KeyboardInterrupt
        return whole(*arguments, **named)

    monkeypatch.setattr(falcon.training, "train", counted)
    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path, model)
    assert not (tmp_path / "out" / "study.json").exists()
    found = _run(tmp_path, model)
    assert len(trained) == 3 + 2  # two arms were done, the third began anew
    again = _run(tmp_path, model)
    assert len(trained) == 5
    assert again == found == json.loads((tmp_path / "out" / "study.json").read_text())
    assert list(found["arms"]) == ["none", "long", "short", "both"]
    base = found["arms"]["none"]
    assert base["pass@1"]["against_none"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert set(base["by_difficulty"]) == {"introductory", "interview", "competition"}
    assert base["all_weighted"] == 0.0
    table = (tmp_path / "out" / "table.md").read_text().splitlines()
    assert [line[:9] for line in table[2:6]] == ["| - | - |", "| x | - |", "| - | x |", "| x | x |"]
    assert "3 held-out problems, 2 samples each, seeds 7, 1 steps" in table[-1]
