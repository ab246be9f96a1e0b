"""A study with a tiny model: a few problems, one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from falcon.comparison.arms import Study
from falcon.memory import HashEncoder, LongTermMemory
from falcon.monitor import SilentMonitor
from falcon.problems import Problem
from tests.training.setups import PROBLEMS, demonstration, make_problem, make_settings

HELD_OUT = [make_problem(n, "test") for n in (5, 6, 7)]
HELD_OUT[1] = Problem.model_validate(HELD_OUT[1].model_dump() | {"difficulty": "interview"})
HELD_OUT[2] = Problem.model_validate(HELD_OUT[2].model_dump() | {"difficulty": "competition"})


@contextmanager
def opened(folder: Path, fresh: bool) -> Iterator[LongTermMemory]:
    if fresh:
        for file in folder.glob("*"):
            file.unlink()
    with LongTermMemory.open(folder, HashEncoder(), writable=True) as memory:
        if fresh:
            memory.append([demonstration(p) for p in PROBLEMS[:2]])
        yield memory


def run_study(
    study: Any, root: Path, model: Path, steps: int = 1, **changes: Any
) -> dict[str, Any]:
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
        train={"steps": steps},
        benchmark={"names": ["builtin"], "samples": 2, "max_new_tokens": 8},
        **changes,
    )
    inputs = Study(PROBLEMS, opened, data, root / "out", SilentMonitor())
    return study.run_study(settings, inputs, [7])
