"""``falcon sandbox``: run a program on tests and say what it did."""

import ast
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from typer import Argument, Option

from falcon.config import settings_at
from falcon.env import find_root
from falcon.errors import UserError

if TYPE_CHECKING:
    from falcon.suite import CodeSuite

app = typer.Typer(help="Run programs that are not trusted.", no_args_is_help=True)
app.callback()(lambda: None)  # without a callback one command would take the group's place


@app.command()
def run(
    file: Annotated[Path, Argument(help="The program, a Python file.")],
    tests: Annotated[
        Path, Option(help="Python with asserts or check(candidate), or JSON with stdin/expected.")
    ],
    entry_point: Annotated[
        str, Option(help="The function that is tested; what check(candidate) is given.")
    ] = "",
    trace: Annotated[
        bool, Option("--trace", help="Also say which lines ran in how many tests.")
    ] = False,
    as_json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Judge a program by tests. Exit code 0: it passes; 1: it does not; 2: it was not judged."""
    from falcon.sandbox import Outcome, Program, Sandbox
    from falcon.sandbox.python_tests import CANDIDATE
    from falcon.sandbox.show import print_trace, print_verdict, verdict_json
    from falcon.sandbox.suite_file import read_suite

    code = read_program(file)
    suite = read_suite(tests, entry_point=entry_point, program=file.stem)
    if entry_point and suite.kind == "stdin":
        raise UserError(
            f"--entry-point: {tests} feeds a whole program.", hint="Leave --entry-point away."
        )
    if suite.kind == "code" and suite.check and suite.entry_point == CANDIDATE:  # no name given
        suite = suite.model_copy(update={"entry_point": only_function(file, code)})
    elif suite.kind == "code" and not suite.entry_point:
        suite = suite.model_copy(update={"entry_point": like_builtin(file, code, suite)})
    settings = settings_at(find_root()).changed({"machine.cache": False})  # run it, even if known
    with Sandbox(settings) as sandbox:
        verdict = sandbox.judge(Program(code, suite, trace))
    if as_json:
        typer.echo(json.dumps(verdict_json(verdict, suite)))
    else:
        if trace:
            print_trace(Console(), code, verdict)
        print_verdict(Console(), verdict, suite)
    if verdict.outcome is Outcome.SANDBOX_ERROR:
        raise typer.Exit(2)  # the sandbox failed, not the program
    raise typer.Exit(0 if verdict.passed else 1)


def read_program(file: Path) -> str:
    """The text of a program, its line ends as they are. Raises UserError."""
    try:
        return file.read_bytes().decode("utf-8")  # read_text would change line ends
    except OSError as fault:
        raise UserError(f"{file}: {fault.strerror}.", hint="Give a Python file.") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: is not UTF-8 text.", hint="Give a Python file.") from None


def functions_of(code: str) -> list[str] | None:
    """Names of the functions that a program defines; None where it does not parse, and its
    verdict says what is wrong."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return [node.name for node in body if isinstance(node, ast.FunctionDef)]  # not nested ones


def only_function(file: Path, code: str) -> str:
    """The one function that a program defines; raises UserError when it is not one.

    A program that does not parse gives ``candidate``.
    """
    from falcon.sandbox.python_tests import CANDIDATE

    names = functions_of(code)
    if names is None or CANDIDATE in names:
        return CANDIDATE
    if len(names) == 1:
        return names[0]
    raise UserError(
        f"{file}: {len(names)} functions, and the tests do not say which one check() is given.",
        hint="Name it by --entry-point, or end the tests with check(NAME).",
    )


def like_builtin(file: Path, code: str, suite: "CodeSuite") -> str:
    """Where tests use only functions of Python's own: the one that the program defines anew, else
    "". Raises UserError for several."""
    from falcon.sandbox.suite_file import builtins_of, names_of

    # Where they use another name, `sum` is a tool of theirs, and no program may replace it.
    names = [] if names_of(suite) else sorted(builtins_of(suite) & set(functions_of(code) or ()))
    if len(names) > 1:
        raise UserError(
            f"{file}: defines {' and '.join(names)}, which are Python's own in the tests.",
            hint="Say by --entry-point which one is tested.",
        )
    return names[0] if names else ""
