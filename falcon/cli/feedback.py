"""``falcon feedback``: what a program earns, and where in it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from typer import Argument, Option

from falcon.config import settings_at
from falcon.env import find_root

app = typer.Typer(help="See what a program earns, and where in it.", no_args_is_help=True)
app.callback()(lambda: None)  # without a callback one command would take the group's place


@app.command()
def explain(
    file: Annotated[Path, Argument(help="The program, a Python file.")],
    problem_id: Annotated[
        str, Option("--problem", metavar="ID", help="Whose tests: humaneval/0, for example.")
    ],
) -> None:
    """Run a program on a problem's tests and print it with each reward at its lines.

    Errors count as in a memory that has seen every type of error alike (eq. 9).
    """
    from falcon.cli.sandbox import read_program
    from falcon.feedback import (
        assess_group,
        ast_reward,
        compile_reward,
        composite,
        dataflow_reward,
        fine_reward,
        make_judge,
        uniform_error_share,
    )
    from falcon.feedback.explain import print_feedback
    from falcon.problems.sources import find_problem
    from falcon.sandbox import Outcome, Program, Sandbox
    from falcon.sandbox.show import print_verdict

    root = find_root()
    settings = settings_at(root)
    code = read_program(file)
    problem = find_problem(problem_id, settings, root / "data")
    with Sandbox(settings) as sandbox:
        verdict = sandbox.judge(Program(code, problem.tests))
    console = Console()
    print_verdict(console, verdict, problem.tests)
    if verdict.outcome is Outcome.SANDBOX_ERROR:
        raise typer.Exit(2)  # the sandbox failed, not the program
    feedback = assess_group(
        [code],
        [verdict],
        settings=settings.feedback,
        judge=make_judge(settings.feedback),
        error_share=uniform_error_share(),
        references=problem.solutions,
        examples=problem.examples,
    )[0]  # a group of one program
    others = (
        fine_reward(verdict, code, settings.feedback.error_lines),
        compile_reward(verdict, code),
        ast_reward(code, problem.solutions),
        dataflow_reward(code, problem.solutions),
    )
    score = composite(verdict, feedback, settings.feedback)
    print_feedback(console, code, feedback, score, others)
