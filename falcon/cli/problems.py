"""``falcon problems``: look at problems and check files of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from falcon import env
from falcon.cli.problem_check import check_all
from falcon.config import settings_at
from falcon.problems.overlap import find_overlap
from falcon.problems.overlap_report import pair_lines, require_suffix, table_rows, write_overlap
from falcon.problems.problem import Problem
from falcon.problems.sources import (
    find_problem,
    load_any,
    load_file,
    load_held_out,
    load_training,
)

app = typer.Typer(help="Look at problems, and check files of them.", no_args_is_help=True)


def _size(problem: Problem) -> int:
    tests = problem.tests
    if tests.kind == "call":
        return len(tests.calls)
    return len(tests.runs) if tests.kind == "stdin" else max(1, len(tests.asserts))  # check()


def _pad(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


@app.command("list")
def list_(
    source: Annotated[
        str, Option(help="builtin, mbpp:PATH, jsonl:PATH or humaneval; default: data.sources.")
    ] = "",
) -> None:
    """One line a problem: id, split, difficulty, form and number of tests."""
    root = env.find_root()
    settings = settings_at(root)
    names = (source,) if source else settings.data.sources
    problems = [p for name in names for p in load_any(name, settings, root / "data")]
    if not problems:
        typer.echo("no problems", err=True)
        return
    rows = [(p.id, p.split, p.difficulty, p.tests.kind, str(_size(p))) for p in problems]
    for line in _pad([("ID", "SPLIT", "DIFFICULTY", "TESTS", "NUMBER"), *rows]):
        typer.echo(line)


@app.command()
def show(
    problem_id: Annotated[str, Argument(metavar="ID", help="For example humaneval/0.")],
) -> None:
    """Print one problem: statement, starter, tests and reference solutions."""
    root = env.find_root()
    problem = find_problem(problem_id, settings_at(root), root / "data")
    head = f"{problem.id}  {problem.split}  {problem.difficulty}"
    typer.echo(f"{head}  {' '.join(problem.tags)}".rstrip())
    parts = [("", problem.statement)]  # title, text
    if problem.starter and problem.starter != problem.statement:
        parts.append(("starter", problem.starter))
    parts.append((f"tests ({problem.tests.kind})", _tests_text(problem)))
    parts += [(f"reference {n}", code) for n, code in enumerate(problem.solutions, start=1)]
    for title, text in parts:
        typer.echo(f"\n--- {title}\n{text.rstrip()}" if title else f"\n{text.rstrip()}")


def _tests_text(problem: Problem) -> str:
    tests = problem.tests
    if tests.kind == "call":
        return "\n".join(
            f"{tests.entry_point}({', '.join(map(repr, call.args))}) -> {call.expected!r}"
            for call in tests.calls
        )
    if tests.kind == "stdin":
        return "\n".join(f"{run.stdin!r} -> {run.expected!r}" for run in tests.runs)
    return "\n".join(part for part in (tests.setup, *tests.asserts, tests.check) if part)


@app.command()
def overlap(
    train: Annotated[
        str, Argument(help="builtin, mbpp:PATH, apps:PATH, leetcode:PATH or jsonl:PATH.")
    ],
    benchmarks: Annotated[
        list[str],
        Argument(
            metavar="BENCHMARK...",
            help="humaneval, builtin, or KIND:PATH: mbpp, evalplus, apps, leetcode, jsonl.",
        ),
    ],
    ngram: Annotated[int, Option(min=0, help="Words in a row; default: data.leak_ngram.")] = 0,
    similarity: Annotated[
        float, Option(min=0, max=1, help="Cosine; default: data.leak_similarity.")
    ] = 0.0,
    embed: Annotated[bool, Option(help="Compare embeddings of statements too.")] = True,
    show: Annotated[int, Option(min=0, help="Pairs printed; --out has them all.")] = 20,
    out: Annotated[Path | None, Option(help="A report in .html or .json.")] = None,
) -> None:
    """Which training problems give a benchmark away; exit code 1 if any does, 0 if none."""
    if out is not None:
        require_suffix(out)  # before the work, not after it
    root = env.find_root()
    settings = settings_at(root)
    data = settings.data
    training = load_training(train, settings, root / "data")
    held_out = {name: load_held_out(name, settings, root / "data") for name in benchmarks}
    encode = None  # compare words alone
    if embed:
        from falcon.memory.encoder import make_encoder

        encode = make_encoder(settings.memory.encoder).encode
    result = find_overlap(
        training,
        held_out,
        ngram=ngram or data.leak_ngram,  # 0: not given
        similarity=similarity or data.leak_similarity,
        encode=encode,
    )
    for line in _pad(table_rows(result)):
        typer.echo(line)
    for pair in result.pairs[:show]:
        typer.echo("\n" + "\n".join(pair_lines(pair)))
    if len(result.pairs) > show:
        typer.echo(f"\n{len(result.pairs) - show} more pair(s); --out FILE has them all.")
    if out is not None:
        write_overlap(result, out)
        typer.echo(f"{out}", err=True)
    if result.pairs:
        raise typer.Exit(1)  # so that a script can refuse the data


@app.command()
def rate(
    path: Annotated[Path, Argument(help="A file of problems in FALCON's own form.")],
    model: Annotated[str, Option(help="Package, folder or hub name; default: policy.model.")] = "",
    samples: Annotated[int, Option(min=1, help="Programs that are written a problem.")] = 8,
    out: Annotated[Path | None, Option(help="The file with rates; default: PATH itself.")] = None,
) -> None:
    """How often a model passes each problem, written into the file as `pass_rates`.

    Programs are drawn as in training (the section `sampling`), by the bare model. Interrupted, the
    same command goes on where it was.
    """
    from rich.console import Console

    from falcon.evaluation.pass_rates import measure_pass_rates, write_pass_rates
    from falcon.monitor import ConsoleMonitor

    root = env.find_root()
    settings = settings_at(root)
    if model:
        settings = settings.changed({"policy.model": model})
    problems = load_file(path)
    work = env.state_dir(root) / "pass_rates"
    monitor = ConsoleMonitor(Console(stderr=True))
    rates = measure_pass_rates(settings, problems, samples, work, monitor)
    write_pass_rates(path, out or path, settings.policy.model, rates)
    for line in _pad(_spread(list(rates.values()))):
        typer.echo(line)


def _spread(rates: Sequence[float]) -> list[tuple[str, ...]]:
    """How many problems have which rate, as rows of a table."""
    parts = [(i / 10, (i + 1) / 10) for i in range(10)]
    counts = [sum(low <= rate < high for rate in rates) for low, high in parts]
    counts[-1] += sum(rate == 1 for rate in rates)
    rows = [
        (f"{low:.0%} to {high:.0%}", str(n)) for (low, high), n in zip(parts, counts, strict=True)
    ]
    return [("PASS RATE", "PROBLEMS"), *rows]


@app.command()
def check(
    paths: Annotated[
        list[str],
        Argument(
            metavar="PATH...",
            help="Files of any form that is read, folders of APPS; KIND:PATH if it must be of one.",
        ),
    ],
    run: Annotated[bool, Option(help="Run the reference solutions in the sandbox.")] = True,
) -> None:
    """List everything that is wrong with files of problems; exit code 1 if anything is.

    Several are looked at together: no problem may be in two of their splits.
    """
    settings = settings_at(env.find_root())
    checked = check_all(paths, settings if run else None)
    for fault in checked.faults:
        typer.echo(str(fault))
    if checked.faults:
        typer.echo(f"{len(checked.faults)} fault(s)", err=True)
        raise typer.Exit(1)
    outcome = (
        f"references {'pass' if run else 'not run'}" if checked.references else "no references"
    )
    typer.echo(f"{', '.join(paths)}: {len(checked.entries)} problems, {outcome}")
