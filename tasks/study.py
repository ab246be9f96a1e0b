"""Study: an experiment on the problems and the seeded memory of this workspace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.config import Settings
from falcon.errors import UserError
from tasks.seed import has_memory, open_memory
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from falcon.memory import LongTermMemory
    from falcon.monitor import Monitor


def memory_study(
    space: Workspace, settings: Settings, *, seeds: list[int], out: Path, monitor: Monitor
) -> dict[str, Any]:
    """Run ``falcon.studies.memory`` on the outputs of prepare and seed. Raises UserError when
    there are none."""
    from falcon.memory import make_encoder
    from falcon.problems import read_problems
    from falcon.studies.memory import run_study

    file, source = space.output("prepare") / "problems.parquet", space.output("seed") / "memory"
    if not file.is_file() or not has_memory(source):
        raise UserError("no problems or no seeded memory here.", hint="falcon stage seed")
    encoder = make_encoder(settings.memory.encoder)

    @contextmanager
    def opened(folder: Path, fresh: bool) -> Iterator[LongTermMemory]:
        copied = source if fresh else None
        with open_memory(
            folder, encoder, space.state, writable=True, copy_of=copied, settings=settings.memory
        ) as memory:
            yield memory

    return run_study(
        settings,
        read_problems(file),
        open_memory=opened,
        data_dir=space.data,
        out=out,
        seeds=seeds,
        monitor=monitor,
    )
