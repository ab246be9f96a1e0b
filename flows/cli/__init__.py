"""Commands of the pipeline, plugged into ``falcon`` by the entry point ``falcon.commands``.

The commands import Prefect, MLflow and DVC themselves: most of ``falcon`` need not wait for them.
"""

import os

import typer

from flows.cli.pipeline import benchmark, run, schedule, stage, study, train
from flows.cli.service import generate, promote, rollback, ui, withdraw


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")
    pipeline = (run, stage, train, benchmark, schedule, study)
    for command in (*pipeline, promote, rollback, withdraw, ui, generate):
        app.command()(command)
