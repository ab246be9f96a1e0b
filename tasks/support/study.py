"""Study: an experiment on the problems and the seeded memory of this workspace."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.config import Settings
from falcon.errors import UserError
from tasks.support import dvc
from tasks.support.memory import has_memory, open_memory
from tasks.support.params import is_frozen
from tasks.support.workspace import Workspace

if TYPE_CHECKING:
    from falcon.config import Recall
    from falcon.memory import LongTermMemory
    from falcon.monitor import Monitor


STUDIES = {"memory": "memory_ablation", "learning": "learning_gain"}
"""Questions of `falcon study`, and the modules of :mod:`falcon.comparison` that answer them."""
_MAKE = "falcon stage prepare && falcon stage seed"


def study_settings(
    settings: Settings, suite: str, samples: int, steps: int, recall: Recall | None
) -> Settings:
    """Settings of the arms: scored on ``suite`` as they are trained; 0 and None keep the file's."""
    values: dict[str, Any] = {
        "benchmark.names": (suite,),
        "benchmark.samples": samples,
        "benchmark.limit": 0,
        "benchmark.difficulties": settings.data.difficulties,
        "benchmark.max_new_tokens": settings.sampling.max_new_tokens,
    }
    if steps:
        values["train.steps"] = steps
    if recall:
        values["memory.at"] = recall
    return settings.changed(values)


def run_study(
    name: str,
    space: Workspace,
    settings: Settings,
    *,
    seeds: list[int],
    out: Path,
    monitor: Monitor,
) -> str:
    """Run a study of :mod:`falcon.comparison` on the outputs of prepare and seed; its table.

    Raises UserError for an unknown study, and when there are no such outputs.
    """
    from falcon.comparison.arms import Study
    from falcon.memory import make_encoder
    from falcon.problems import read_problems

    if name not in STUDIES:
        raise UserError(f"there is no study `{name}`.", hint=f"There are: {', '.join(STUDIES)}.")
    study: Any = import_module(f"falcon.comparison.{STUDIES[name]}")
    file, source = space.output("prepare") / "problems.parquet", space.output("seed") / "memory"
    if not file.is_file() or not has_memory(source):
        raise UserError("no problems or no seeded memory here.", hint=_MAKE)
    if not is_frozen(space) or dvc.stale(space.root, "prepare", "seed"):
        raise UserError(
            "the problems or the seeded memory are not those of the present data and settings.",
            hint=_MAKE,
        )
    encoder = make_encoder(settings.memory.encoder)  # one for all arms: loading takes seconds

    def opened(folder: Path, fresh: bool) -> LongTermMemory:
        origin = source if fresh else None
        return open_memory(space, settings, folder, encoder=encoder, writable=True, copy_of=origin)

    inputs = Study(read_problems(file), opened, space.data, out, monitor)
    return str(study.table_of(study.run_study(settings, inputs, seeds)))
