"""Commands of the pipeline, plugged into ``falcon`` by the entry point ``falcon.commands``.

The commands import Prefect, MLflow and DVC themselves: most of ``falcon`` need not wait for them.
"""

from collections.abc import Callable
from pathlib import Path

import typer

from falcon.doctor import MORE, Result
from flows.cli.pipeline import benchmark, run, schedule, stage, study, train
from flows.cli.service import generate, promote, registry, reproduce, rollback, ui, withdraw


def _finding(name: str) -> Callable[[Path], Result]:
    def look(root: Path) -> Result:
        from tasks.support.preflight import FINDINGS

        return FINDINGS[name](root)

    return look


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    MORE.update({name: _finding(name) for name in ("clone", "promotion", "tracker", "prefect")})
    pipeline = (run, stage, train, benchmark, schedule, study)
    for command in (*pipeline, promote, rollback, withdraw, registry, reproduce, ui, generate):
        app.command()(command)
