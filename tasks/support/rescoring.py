"""Rescoring: the samples of the last benchmark judged again, without any model."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from falcon.errors import UserError
from falcon.files import replaced_file
from falcon.monitor import Monitor
from tasks.support.memory import open_memory
from tasks.support.workspace import Workspace

if TYPE_CHECKING:
    from falcon.evaluation import BenchmarkResult


def rescore_samples(space: Workspace, monitor: Monitor) -> BenchmarkResult:
    """Judge the samples of the last benchmark again, into ``state/rescored``.

    Results of a stage are DVC's and stay as they are. Raises UserError when there are none.
    """
    from falcon.evaluation.rescore import rescore

    settings, out = space.settings(), space.state / "rescored"
    for name in ("samples.parquet", "scores.json"):
        file = space.output("benchmark") / name
        if not file.is_file():
            raise UserError(f"{file} is not there.", hint="Run `dvc repro benchmark`.")
        with replaced_file(out / name) as temporary:
            shutil.copyfile(file, temporary)
    with open_memory(space, settings, space.output("train") / "memory") as memory:
        return rescore(settings, data_dir=space.data, memory=memory, out=out, monitor=monitor)
