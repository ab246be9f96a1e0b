"""Commands of the pipeline, plugged into ``falcon`` by the entry point ``falcon.commands``.

The commands import Prefect, MLflow and DVC themselves: most of ``falcon`` need not wait for them.
"""

import os

import typer

from flows.cli.pipeline import benchmark, run, schedule, stage, study, train
from flows.cli.service import generate, promote, rollback, ui


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")
    for command in (run, stage, train, benchmark, schedule, promote, rollback, ui, generate, study):
        app.command()(command)
