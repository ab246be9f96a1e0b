"""``falcon``: the command line.

The commands that only need the library are here; others come as plug-ins by the entry point
group ``falcon.commands``, so that the library knows no orchestrator. A fault of the user's is
one line on standard error and an exit code; a traceback only with FALCON_DEBUG=1.
"""

import os
import sys
import tempfile
import traceback
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from typer import Option

from falcon import __version__, env
from falcon.cli.codal import codal
from falcon.cli.evaluate import evaluate
from falcon.cli.feedback import app as feedback
from falcon.cli.memory import app as memory
from falcon.cli.models import app as models
from falcon.cli.problems import app as problems
from falcon.cli.sandbox import app as sandbox
from falcon.config import command_overrides, parse_overrides, set_overrides
from falcon.errors import DEFECT, INTERRUPTED, UserError, machine_fault, without_passwords

GROUP = "falcon.commands"

app = typer.Typer(
    name="falcon",
    help="Train code-writing language models with the feedback of executed programs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # `run` prints them
)
_GROUPS = {
    "feedback": feedback,
    "memory": memory,
    "models": models,
    "problems": problems,
    "sandbox": sandbox,
}
for _name, _group in _GROUPS.items():
    app.add_typer(_group, name=_name)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"falcon {__version__}")
        raise typer.Exit


def _override(texts: list[str] | None) -> None:
    set_overrides([*command_overrides(), *parse_overrides(texts or [])])  # each --set adds


@app.callback()
def _options(
    version: Annotated[
        bool,
        Option("--version", callback=_print_version, is_eager=True, help="Print name and version."),
    ] = False,
    overrides: Annotated[
        list[str] | None,
        Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            callback=_override,
            expose_value=False,  # the callback has kept it: commands need no parameter
            help="Another value for a setting; may be repeated, here or after the command.",
        ),
    ] = None,
) -> None:
    """Options of every command."""


@app.command()
def config(
    profile: Annotated[str, Option(help="As --profile of `falcon run` would set them.")] = "",
) -> None:
    """Print the resolved settings as YAML."""
    from falcon.config import load_settings

    settings = load_settings(env.find_root() / "params.yaml", profile)
    text = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
    Console().print(text, end="", markup=False, highlight=False, soft_wrap=True)


app.command()(evaluate)
app.command()(codal)


@app.command()
def doctor() -> None:
    """Look at what a run needs, and say what to do about what is missing."""
    from falcon.doctor import examine, show

    findings = examine(env.find_root())
    show(findings)
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)


def load_plugins(target: typer.Typer) -> None:
    """Let every installed plug-in add its commands; one that cannot be loaded gives a warning."""
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):  # one order everywhere
        try:
            register = point.load()
        except ImportError as fault:  # such as Prefect absent: the other commands still work
            _complain(f"the commands `{point.name}` cannot be loaded: {fault}")
            continue
        register(target)


def _complain(text: str) -> None:
    Console(stderr=True).print(
        f"falcon: {without_passwords(text)}",
        style="red",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _accept_overrides(command: Any, option: Any) -> None:
    """Let ``--set`` stand after every command, too; what is given at several places adds up."""
    for each in getattr(command, "commands", {}).values():
        each.params.append(option)
        _accept_overrides(each, option)


def run(arguments: list[str]) -> int:
    """Run a command line and give its exit code."""
    root = env.apply()
    set_overrides([])  # of an earlier call in this process
    try:
        load_plugins(app)
        command = typer.main.get_command(app)
        _accept_overrides(command, next(p for p in command.params if p.name == "overrides"))
        result = command.main(args=arguments, prog_name="falcon", standalone_mode=False)
    except UserError as fault:
        if os.environ.get("FALCON_DEBUG") == "1":
            traceback.print_exc()
        _complain(str(fault))
        return fault.exit_code
    except typer.Exit as done:
        return int(done.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _complain("interrupted")
        return INTERRUPTED
    except Exception as fault:
        usage = getattr(fault, "format_message", None)
        if usage is not None:  # a wrong option or argument, as the parser found it
            # The check of a choice is a validator's, which begins like that.
            _complain(usage().replace("Value error, ", ""))
            return int(getattr(fault, "exit_code", 2))
        if os.environ.get("FALCON_DEBUG") == "1":
            raise  # Python prints the traceback
        full = machine_fault(fault)  # first: a traceback could not be written, either
        if full is not None:
            _complain(str(full))
            return full.exit_code
        log = _keep_traceback(root)
        _complain(f"{type(fault).__name__}: {fault} (this is a defect; traceback in {log})")
        return DEFECT
    return result if isinstance(result, int) else 0  # --help and Exit come back as a code


def _keep_traceback(root: Path) -> Path:
    for folder in (env.state_dir(root), Path(tempfile.gettempdir())):
        file = folder / "last_error.txt"
        with suppress(OSError):  # a clone that cannot be written
            folder.mkdir(parents=True, exist_ok=True)
            file.write_text(without_passwords(traceback.format_exc()), encoding="utf-8")
            break
    return file


def main() -> None:
    """Entry point of the ``falcon`` command."""
    sys.exit(run(sys.argv[1:]))
