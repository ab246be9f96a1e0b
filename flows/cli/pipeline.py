"""Commands that run the pipeline or a part of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from falcon.cli.options import takes
from falcon.config import Recall, command_overrides, require_file_settings, set_overrides

if TYPE_CHECKING:
    from tasks.support.run_console import RunConsole
    from tasks.support.workspace import Workspace

_out = Console()

Profile = Annotated[
    str, typer.Option(help="Write the values of profiles/NAME.yaml into params.yaml first.")
]
"""They stay there like what --set overrides, because DVC reads the settings there."""
Start = Annotated[
    Literal["champion", "base"] | None,
    typer.Option(help="champion: train the model in service on; base: a new adapter."),
]
Verbose = Annotated[
    bool,
    typer.Option("-v", "--verbose", help="Print the log too, and every figure at the end."),
]
Force = Annotated[bool, typer.Option("--force", help="Run even what is up to date.")]


@contextmanager
def _at_work(what: str, profile: str = "") -> Iterator[Workspace]:
    """A workspace in which no other run is at work while the block runs."""
    from tasks.support.lock import exclusive

    space = _with_room()
    with exclusive(space, f"falcon {what}"):
        _write_settings(space, profile)
        yield space


def _write_settings(space: Workspace, profile: str = "") -> None:
    """Write profile and overrides of this command into params.yaml."""
    from tasks.support.params import write_settings

    require_file_settings()
    write_settings(space, profile, command_overrides())
    set_overrides([])  # from here on the file says it


def _with_room() -> Workspace:
    """The workspace; raises UserError where it cannot be written or the disk is nearly full."""
    from tasks.support.preflight import require_writable
    from tasks.support.workspace import Workspace

    space = Workspace.here()
    require_writable(space)
    space.require_room()
    return space


def run(
    profile: Profile = "",
    force: Force = False,
    carry_on: Annotated[
        bool,
        typer.Option("--carry-on", help="A new run, as schedules begin: new seed, memory, start."),
    ] = False,
    start: Start = None,
    verbose: Verbose = False,
) -> None:
    """Run the whole pipeline: what is out of date, then the gate's decision."""
    from tasks.support.prefect_server import for_a_run
    from tasks.support.preflight import require_ready
    from tasks.support.run_console import RunConsole
    from tasks.support.run_report import show
    from tasks.support.settled import look
    from tasks.support.stage_summary import stage_lines

    # Before Prefect is imported, which hangs on a full disk.
    with _at_work("run", profile) as space:
        settings = space.settings()
        standing = None if force or carry_on or start else look(space, settings)
        require_ready(space, settings, anew=carry_on)  # DVC looks while this imports MLflow
        result = standing() if standing else None
        if result is not None:
            console = RunConsole(_out)
            console.head("falcon run", settings, space.root)
            for each in result.stages:
                console.finished(each.stage, each.how, 0.0, stage_lines(space, each.stage))
            show(space, result, _out, full=verbose)
            return
        # The server starts while Prefect is imported.
        with _shown(verbose) as console, for_a_run() as server:
            console.head("falcon run", settings, space.root)
            console.begin("start")
            from flows.training import train

            if server is not None:
                server.wait()
            result = train(profile=profile, force=force, carry_on=carry_on, start=start or "")
        show(space, result, _out, full=verbose)


def _shown(verbose: bool) -> RunConsole:
    """What shows the run. The log of Prefect goes to its server, and to the terminal if asked."""
    from tasks.support.run_console import RunConsole

    verbose = verbose or "PREFECT_LOGGING_LEVEL" in os.environ
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")
    if not verbose:
        # Of the handler alone: the level would also count for what the server gets.
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    return RunConsole(_out, verbose=verbose)


def stage(name: str, profile: Profile = "", force: Force = False, verbose: Verbose = False) -> None:
    """Run one stage by DVC, as `dvc repro -s NAME` does."""
    from tasks.support.params import freeze_settings, repro_stage
    from tasks.support.run_console import RunConsole
    from tasks.support.stage_output import ENVIRONMENT, StageOutput
    from tasks.support.stage_summary import stage_lines
    from tasks.support.workspace import require_stage

    require_stage(name)
    env = {"FALCON_FRESH": "1" if force else "0", **ENVIRONMENT}
    log = _print_line if verbose else lambda _: None
    since = time.monotonic()
    with _at_work(f"stage {name}", profile) as space, RunConsole(_out, verbose=verbose) as console:
        freeze_settings(space)
        with StageOutput(space, name, log) as output:
            how = repro_stage(space, name, force=force, env=env, on_line=output.take)
        console.finished(name, how, time.monotonic() - since, stage_lines(space, name))


def train(
    profile: Profile = "",
    force: Force = False,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Only say what memory the training takes.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Run the stage `train`, or with --dry-run its largest batches once, without training."""
    if not dry:
        stage("train", profile, force, verbose)
        return
    from falcon.config import PARAMS, load_settings
    from tasks.support.workspace import Workspace
    from tasks.train import dry_run

    space = Workspace.here()
    settings = load_settings(space.root / PARAMS, profile)  # the file stays: nothing is run
    _print_line(str(dry_run(space, settings)))
    if settings.machine.processes > 1:
        _out.print(f"for each of {settings.machine.processes} processes", highlight=False)


def _print_line(line: str) -> None:
    _out.print(line, markup=False, highlight=False, soft_wrap=True)


def benchmark(
    force: Force = False,
    rescore: Annotated[
        bool, typer.Option("--rescore", help="Judge the last samples again, without any model.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Score the present policies against the model in service, and decide again.

    With --rescore nothing is generated or decided: the samples of the last benchmark are
    judged again into state/rescored.
    """
    if rescore:
        from falcon.cli.evaluate import show
        from falcon.monitor import ConsoleMonitor
        from tasks.support.rescoring import rescore_samples
        from tasks.support.workspace import Workspace

        show(rescore_samples(Workspace.here(), ConsoleMonitor(Console(stderr=True))))
        return
    from tasks.support.prefect_server import for_a_run
    from tasks.support.preflight import require_ready

    with _at_work("benchmark") as space:
        require_ready(space, space.settings())
        with _shown(verbose) as console, for_a_run() as server:
            console.head("falcon benchmark", space.settings(), space.root)
            console.begin("start")
            from flows.benchmark import benchmark as flow

            if server is not None:
                server.wait()
            flow(force=force)


@dataclass(frozen=True)
class ScheduleOptions:
    """What the command line says."""

    cron: Annotated[str, typer.Option(help="When: minute hour day month weekday.")] = "0 3 * * 1"
    timezone: Annotated[str, typer.Option(help="Time zone of the schedule.")] = "UTC"
    name: Annotated[str, typer.Option(help="Name of the deployments.")] = "weekly"
    profile: Annotated[
        str, typer.Option(help="Train by this profile; params.yaml stays as it is.")
    ] = ""
    start: Start = "champion"
    port: Annotated[int, typer.Option(help="Port of the Prefect server started if none runs.")] = (
        4200
    )


@takes(ScheduleOptions)
def schedule(o: ScheduleOptions) -> None:
    """Run the pipeline on a schedule, from this process, until interrupted."""
    from tasks.support.lock import exclusive
    from tasks.support.prefect_server import away_in_one_line, running, scheduling_server
    from tasks.support.preflight import require_ready

    space = _with_room()
    _write_settings(space)
    require_ready(space, space.settings())
    alone = exclusive(space, "falcon schedule", name="schedule")
    with alone, running(o.port) as url, away_in_one_line(url):
        _out.print(f"Prefect: {url.removesuffix('/api')}   (stop with Ctrl-C)", highlight=False)
        # Imports Prefect, which reads the address now.
        from flows.deployment import TrainingPlan, serve

        plan = TrainingPlan(o.cron, o.timezone, o.name, o.profile, o.start or "champion")
        serve(space, plan, own=scheduling_server() == url)


def study(
    question: Annotated[
        str,
        typer.Argument(
            help="memory (none, long, short, both: Table IV) or learning (base, plain, mrlf)."
        ),
    ],
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each arm.")] = 1,
    steps: Annotated[int, typer.Option(min=0, help="Meta-updates; 0: the settings'.")] = 0,
    suite: Annotated[str, typer.Option(help="What arms are scored on.")] = "builtin",
    samples: Annotated[int, typer.Option(min=1, help="Programs a problem.")] = 4,
    recall: Annotated[
        Recall | None, typer.Option(help="Where text is recalled; default: memory.at.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; default: state/study.")] = None,
) -> None:
    """Run an experiment of the paper on this workspace's problems and seeded memory.

    Arms are scored as they are trained: on the difficulties of data.difficulties, with programs of
    at most sampling.max_new_tokens.

    Interrupted, the same command goes on with the arm it was in.
    """
    from falcon.monitor import ConsoleMonitor
    from tasks.support.study import run_study, study_settings
    from tasks.support.workspace import Workspace

    space = Workspace.here()
    space.require_room()
    settings = study_settings(space.settings(), suite, samples, steps, recall)
    table = run_study(
        question,
        space,
        settings,
        seeds=[settings.seed + n for n in range(seeds)],
        out=out or space.state / "study" / question,
        monitor=ConsoleMonitor(Console(stderr=True)),
    )
    _print_line(table)
