"""Commands for the model in service: move it, look at it, ask it for code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from falcon.cli.options import takes
from falcon.errors import UserError, without_passwords
from falcon.listing import print_code

if TYPE_CHECKING:
    from tasks.serving.generate import Generated

_out = Console()


Why = Annotated[str, typer.Option(help="The reason, kept on record.")]


def promote(
    version: Annotated[str, typer.Argument(help="Default: that of the present results.")] = "",
    approve: Annotated[
        bool,
        typer.Option(
            "--approve", help="Although the gate refused, or it was in service; kept on record."
        ),
    ] = False,
    why: Why = "",
) -> None:
    """Put the trained model into service, if the promotion policy allows it."""
    from tasks.support.registry import Registry

    registry = Registry.here()
    if not version:
        registry.register()
    served = registry.promote(number=version, approve=approve, why=why)
    _say(f"version {served.number} is in service")


def rollback(
    to: Annotated[str, typer.Option(help="The version to go back to.")] = "",
    approve: Annotated[
        bool, typer.Option("--approve", help="Go back --to a version that was withdrawn.")
    ] = False,
    why: Why = "",
) -> None:
    """Withdraw the model in service and put the one before it back."""
    from tasks.support.registry import Registry

    version = Registry.here().rollback(to=to, approve=approve, why=why)
    _say(f"version {version.number} is in service again")


def withdraw(
    version: Annotated[str, typer.Argument(help="Default: the one in service.")] = "",
    why: Why = "",
) -> None:
    """Withdraw a version: no run puts it back into service. What served before it serves again."""
    from tasks.support.registry import Registry

    _say(str(Registry.here().withdraw(version, why=why)))


def registry(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show which version serves, since when and why, and what all versions are made of."""
    from tasks.support.registry import Registry
    from tasks.support.registry_listing import listing, show

    found = listing(Registry.here())
    if as_json:
        typer.echo(json.dumps(found))
    else:
        show(found, _out)


def reproduce(
    version: Annotated[str, typer.Argument(help="A number of `falcon registry`.")],
    into: Annotated[
        Path | None, typer.Option(help="Folder; default: state/reproduce/VERSION.")
    ] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train it again first, from what it started from.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Lay out a version's code, data, settings and memory, and score it again.

    Exit code 0 if every score is the same to the last digit, else 1. What is missing is named.
    """
    from tasks.support.registry import Registry
    from tasks.support.reproduce import as_json as outcome
    from tasks.support.reproduce import reproduce as work

    err = Console(stderr=True)
    made = work(
        Registry.here(),
        version,
        into,
        lambda text: err.print(text, markup=False, highlight=False, soft_wrap=True),
        train=train,
    )
    if as_json:
        typer.echo(outcome(made))
    elif made.differences:
        table = Table(title="Scores that differ", title_justify="left")
        for name in ("score", "recorded", "now"):
            table.add_column(name)
        for each in made.differences:
            table.add_row(each.name, str(each.recorded), str(each.now))
        _out.print(table)
    else:
        _say(f"version {version}: every score is the same, to the last digit ({made.folder})")
    raise typer.Exit(1 if made.differences else 0)


def _say(text: str) -> None:
    _out.print(text, markup=False, highlight=False, soft_wrap=True)


def ui(
    port: Annotated[int, typer.Option(help="Port of the MLflow server.")] = 5000,
    prefect_port: Annotated[int, typer.Option(help="Port of Prefect's pages.")] = 4200,
) -> None:
    """Show runs, plots, models and flows: MLflow and Prefect on loopback, until interrupted.

    What runs use already is only named: a tracking server, a Prefect server.
    """
    from tasks.support.mlflow_store import tracking_uri
    from tasks.support.prefect_server import port_free, running, scheduling_server
    from tasks.support.workspace import Workspace

    space = Workspace.here()
    uri = tracking_uri(space.settings(), space)
    served = uri.startswith(("http:", "https:"))
    if not served and not port_free(port):
        raise UserError(f"port {port} is in use.", hint=f"falcon ui --port {port + 1}")
    kept = scheduling_server()
    with nullcontext(kept) if kept else running(prefect_port, "--prefect-port") as prefect:
        mlflow = without_passwords(uri) if served else f"http://127.0.0.1:{port}"
        _say(f"MLflow:    {mlflow}   (stop with Ctrl-C)")
        _say(f"Prefect:   {without_passwords(prefect.removesuffix('/api'))}")
        _say(f"Data docs: {space.state / 'data_docs'}/STAGE/index.html")
        if served:
            signal.pause()
        command = [str(space.root / "mlflow" / "server.sh"), str(port)]
        server = subprocess.run(command, env={**os.environ, "MLFLOW_BACKEND": uri}, check=False)
    if server.returncode not in (0, 130, -2, 143, -15):  # all but a stop by Ctrl-C or SIGTERM
        raise UserError(f"the MLflow server ended (exit {server.returncode}).")


@dataclass(frozen=True)
class GenerateOptions:
    """What the command line says."""

    task: Annotated[str, typer.Argument(help="What the program is to do.")]
    tests: Annotated[
        Path | None, typer.Option(help="A file of tests: Python asserts, or JSON stdin/expected.")
    ] = None
    signature: Annotated[str, typer.Option(help='Like "def f(x: int) -> int:".')] = ""
    example: Annotated[
        list[str] | None,
        typer.Option(help='Shown to the model, and run where there are no tests: "f(2) == 4".'),
    ] = None
    stdin: Annotated[bool, typer.Option("--stdin", help="A whole program, not a function.")] = False
    adapter: Annotated[
        Path | None, typer.Option(help="A trained adapter in place of the model in service.")
    ] = None
    model: Annotated[str, typer.Option(help="A base model in place of the one in service.")] = ""
    server: Annotated[
        str, typer.Option(help="Address of a server that has --model; no model is loaded here.")
    ] = ""
    no_memory: Annotated[bool, typer.Option("--no-memory", help="Recall nothing.")] = False
    samples: Annotated[int, typer.Option(min=1, help="Programs; 1 is greedy.")] = 1
    max_new_tokens: Annotated[
        int, typer.Option(min=0, help="Tokens of an answer at most; 0: as the model has it set.")
    ] = 1024
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False


@takes(GenerateOptions)
def generate(o: GenerateOptions) -> None:
    """Write a program for a task. With tests or examples, exit code 0 if it passes and 1 if not.

    The program goes to standard output, all else to standard error. Of several programs that
    are tested the best is printed.
    """
    from falcon.monitor import ConsoleMonitor, SilentMonitor
    from tasks.serving import generate as work
    from tasks.support.workspace import Workspace

    request = work.Request(
        o.task,
        o.tests,
        o.signature,
        o.stdin,
        o.adapter,
        o.model,
        o.server,
        memory=not o.no_memory,
        samples=o.samples,
        max_new_tokens=o.max_new_tokens,
        examples=tuple(o.example or ()),
    )
    space = Workspace.here()
    err = Console(stderr=True)
    monitor = ConsoleMonitor(err) if err.is_terminal else SilentMonitor()
    answer = work.answer(space, space.settings(), request, monitor)
    if o.as_json:
        typer.echo(json.dumps({"task": o.task} | answer.as_json()))
    else:
        _show_answer(answer, err)
    best = answer.programs[answer.best].verdict
    raise typer.Exit(1 if best is not None and not best.passed else 0)


def _show_answer(answer: Generated, err: Console) -> None:
    from falcon.sandbox.show import print_verdict

    recalled = "; with recalled experiences" if answer.recall_text else ""
    text = f"model: {answer.served.source}{recalled}"
    err.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)
    best = answer.programs[answer.best]
    shown = [best] if best.verdict else list(answer.programs)
    for number, each in enumerate(shown, start=1):
        if len(shown) > 1:
            _out.print(f"# --- {number} of {len(shown)}", highlight=False)
        print_code(_out, each.program)
        if not each.finished:
            err.print("the length limit cut the program: give --max-new-tokens", style="red")
    if best.verdict and answer.suite:
        passing = sum(bool(each.verdict and each.verdict.passed) for each in answer.programs)
        if len(answer.programs) > 1:
            err.print(f"{passing} of {len(answer.programs)} programs pass", highlight=False)
        print_verdict(err, best.verdict, answer.suite)
