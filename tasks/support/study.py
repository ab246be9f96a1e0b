"""Study: an experiment on the problems and the seeded memory of this workspace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.config import Settings
from falcon.errors import UserError
from tasks.seed import has_memory, open_memory
from tasks.support import dvc
from tasks.support.workspace import Workspace

if TYPE_CHECKING:
    from falcon.memory import LongTermMemory
    from falcon.monitor import Monitor


STUDIES = {"memory": "memory_ablation", "learning": "learning_gain"}
"""Questions of `falcon study`, and the modules of :mod:`falcon.comparison` that answer them."""
_MAKE = "falcon stage prepare && falcon stage seed"


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
    if dvc.is_stale(space.root, "prepare", "seed"):
        raise UserError(
            "the problems or the seeded memory are not those of the present data and settings.",
            hint=_MAKE,
        )
    encoder = make_encoder(settings.memory.encoder)

    @contextmanager
    def opened(folder: Path, fresh: bool) -> Iterator[LongTermMemory]:
        copied = source if fresh else None
        with open_memory(
            folder, encoder, space.state, writable=True, copy_of=copied, settings=settings
        ) as memory:
            yield memory

    inputs = Study(read_problems(file), opened, space.data, out, monitor)
    return str(study.table_of(study.run_study(settings, inputs, seeds)))
