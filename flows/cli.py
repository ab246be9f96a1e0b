"""Commands of the pipeline, plugged into ``falcon`` by the entry point ``falcon.commands``.

Prefect, MLflow and DVC are imported inside the commands: most of ``falcon`` works without
waiting for them.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from falcon.config import Recall, command_overrides, require_file_settings, set_overrides
from falcon.errors import UserError
from falcon.listing import print_code

if TYPE_CHECKING:
    from tasks.serving.generate import Answer
    from tasks.support.workspace import Workspace

_out = Console()


Profile = Annotated[
    str, typer.Option(help="Make this profile of params.yaml the active one first.")
]
"""With --set, written into params.yaml, too, where DVC reads the settings; it stays there."""
Force = Annotated[bool, typer.Option("--force", help="Run even what is up to date.")]


def _prepared(profile: str = "") -> Workspace:
    """The workspace, with profile and overrides of this command written into its params.yaml."""
    from tasks.support.params import write_settings
    from tasks.support.workspace import Workspace

    space = Workspace.here()
    space.require_room()
    require_file_settings()
    write_settings(space, profile, command_overrides())
    set_overrides([])  # from here on the file says it
    return space


def run(
    profile: Profile = "",
    force: Force = False,
    carry_on: Annotated[
        bool, typer.Option(help="Start from the last run's memory even if nothing has changed.")
    ] = False,
) -> None:
    """Run the whole pipeline: what is out of date, then the gate's decision."""
    space = _prepared(profile)  # before Prefect is imported, which hangs on a full disk

    from flows.report import show
    from flows.training import train

    show(space, train(profile=profile, force=force, carry_on=carry_on), _out)


def stage(name: str, profile: Profile = "", force: Force = False) -> None:
    """Run one stage by DVC, as `dvc repro -s NAME` does."""
    from tasks.support import dvc
    from tasks.support.workspace import STAGES

    if name not in STAGES:
        raise UserError(f"unknown stage `{name}`.", hint=f"Stages: {', '.join(STAGES)}.")
    space = _prepared(profile)
    env = {"FALCON_FRESH": "1" if force else "0"}
    done = dvc.repro(space.root, name, force=force, env=env, on_line=_say)
    _out.print(f"{name}: {done.how}")


def train(
    profile: Profile = "",
    force: Force = False,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Only say what memory the training takes.")
    ] = False,
) -> None:
    """Run the stage `train`, or with --dry-run its largest batches once, without training."""
    if not dry:
        stage("train", profile, force)
        return
    from falcon.config import load_settings
    from tasks.support.workspace import Workspace
    from tasks.train import dry_run

    space = Workspace.here()
    # The file keeps its profile: nothing is run.
    settings = load_settings(space.root / "params.yaml", profile) if profile else space.settings()
    _out.print(str(dry_run(space, settings)), highlight=False, soft_wrap=True)
    if settings.machine.processes > 1:
        _out.print(f"for each of {settings.machine.processes} processes", highlight=False)


def _say(line: str) -> None:
    _out.print(line, markup=False, highlight=False, soft_wrap=True)


def benchmark(
    force: Force = False,
    rescore: Annotated[
        bool,
        typer.Option("--rescore", help="Judge the last samples again, without any model."),
    ] = False,
) -> None:
    """Score the present policies against the model in service, and decide again.

    With --rescore nothing is generated or decided: the samples of the last benchmark are
    judged again into state/rescored.
    """
    if rescore:
        from falcon.cli.evaluate import show
        from falcon.monitor import ConsoleMonitor
        from tasks.benchmark import rescored
        from tasks.support.workspace import Workspace

        show(rescored(Workspace.here(), ConsoleMonitor(Console(stderr=True))))
        return
    _prepared()
    from flows.benchmark import benchmark as flow

    flow(force=force)


def schedule(
    cron: Annotated[str, typer.Option(help="When: minute hour day month weekday.")] = "0 3 * * 1",
    timezone: Annotated[str, typer.Option(help="Time zone of the schedule.")] = "UTC",
    name: Annotated[str, typer.Option(help="Name of the deployment.")] = "weekly",
    port: Annotated[
        int, typer.Option(help="Port of the Prefect server started if none runs.")
    ] = 4200,
) -> None:
    """Run the pipeline on a schedule, from this process, until interrupted."""
    _prepared()
    from flows.server import running

    with running(port) as url:
        _out.print(f"Prefect: {url.removesuffix('/api')}   (stop with Ctrl-C)", highlight=False)
        from flows.deployment import serve

        serve(cron, timezone, name)


def promote(
    approve: Annotated[
        bool, typer.Option("--approve", help="Promote although the gate refused; kept on record.")
    ] = False,
) -> None:
    """Put the trained model into service, if the gate passed."""
    from flows.promotion import promote_now

    version = promote_now(approve)
    _out.print(f"version {version.number} is in service")


def rollback() -> None:
    """Put the previous model back into service."""
    from flows.promotion import open_registry

    _out.print(f"version {open_registry().rollback().number} is in service again")


def ui(port: Annotated[int, typer.Option(help="Port of the MLflow server.")] = 5000) -> None:
    """Show runs, plots and models: an MLflow server on loopback, until interrupted."""
    from flows.server import port_free
    from tasks.support.workspace import Workspace

    space = Workspace.here()
    if not port_free(port):
        raise UserError(f"port {port} is in use.", hint=f"falcon ui --port {port + 1}")
    _out.print(f"MLflow:    http://127.0.0.1:{port}   (stop with Ctrl-C)", highlight=False)
    _out.print("Prefect:   prefect server start; or the address that `falcon schedule` prints")
    _out.print(f"Data docs: {space.state / 'data_docs'}/STAGE/index.html", highlight=False)
    done = subprocess.run([str(space.root / "mlflow" / "server.sh"), str(port)], check=False)
    if done.returncode not in (0, 130, -2, 143, -15):
        raise UserError(f"the MLflow server ended (exit {done.returncode}).")


def generate(
    task: Annotated[str, typer.Argument(help="What the program is to do.")],
    tests: Annotated[
        Path | None, typer.Option(help="A file of tests: Python asserts, or JSON stdin/expected.")
    ] = None,
    signature: Annotated[str, typer.Option(help='Like "def f(x: int) -> int:".')] = "",
    example: Annotated[
        list[str] | None,
        typer.Option(help='Shown to the model, and run where there are no tests: "f(2) == 4".'),
    ] = None,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="A whole program, not a function.")
    ] = False,
    adapter: Annotated[
        Path | None, typer.Option(help="A trained adapter in place of the model in service.")
    ] = None,
    model: Annotated[str, typer.Option(help="A base model in place of the one in service.")] = "",
    no_memory: Annotated[bool, typer.Option("--no-memory", help="Recall nothing.")] = False,
    samples: Annotated[int, typer.Option(min=1, help="Programs; 1 is greedy.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a program for a task. With tests or examples, exit code 0 if it passes and 1 if not.

    The program goes to standard output, all else to standard error. Of several programs that
    are tested the best is printed.
    """
    from falcon.monitor import ConsoleMonitor, SilentMonitor
    from tasks.serving import generate as work
    from tasks.support.workspace import Workspace

    request = work.Request(
        task,
        tests,
        signature,
        stdin,
        adapter,
        model,
        memory=not no_memory,
        samples=samples,
        examples=tuple(example or ()),
    )
    space = Workspace.here()
    told = Console(stderr=True)
    monitor = ConsoleMonitor(told) if told.is_terminal else SilentMonitor()
    found = work.answer(space, space.settings(), request, monitor)
    if as_json:
        typer.echo(json.dumps({"task": task} | found.as_json()))
    else:
        _show_answer(found, told)
    best = found.written[found.best].verdict
    raise typer.Exit(1 if best is not None and not best.passed else 0)


def _show_answer(found: Answer, told: Console) -> None:
    from falcon.sandbox.show import print_verdict

    told.print(
        f"model: {found.served.said}{'; with recalled experiences' if found.recalled else ''}",
        style="dim",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    best = found.written[found.best]
    shown = [best] if best.verdict else list(found.written)
    for number, each in enumerate(shown, start=1):
        if len(shown) > 1:
            _out.print(f"# --- {number} of {len(shown)}", highlight=False)
        print_code(_out, each.program)
        if not each.finished:
            told.print("the length limit cut the program (benchmark.max_new_tokens)", style="red")
    if best.verdict and found.suite:
        passing = sum(bool(each.verdict and each.verdict.passed) for each in found.written)
        if len(found.written) > 1:
            told.print(f"{passing} of {len(found.written)} programs pass", highlight=False)
        print_verdict(told, best.verdict, found.suite)


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
    from tasks.support.study import run_study
    from tasks.support.workspace import Workspace

    space = Workspace.here()
    space.require_room()
    settings = space.settings()
    benchmark = settings.benchmark.model_copy(
        update={
            "suites": (suite,),
            "samples": samples,
            "limit": 0,
            "difficulties": settings.data.difficulties,
            "max_new_tokens": settings.sampling.max_new_tokens,
        }
    )
    train = settings.train.model_copy(update={"steps": steps} if steps else {})
    memory = settings.memory.model_copy(update={"at": recall} if recall else {})
    settings = settings.model_copy(
        update={"benchmark": benchmark, "train": train, "memory": memory}
    )
    table = run_study(
        question,
        space,
        settings,
        seeds=[settings.seed + n for n in range(seeds)],
        out=out or space.state / "study" / question,
        monitor=ConsoleMonitor(Console(stderr=True)),
    )
    _out.print(table, markup=False, highlight=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")
    for command in (run, stage, train, benchmark, schedule, promote, rollback, ui, generate, study):
        app.command()(command)
