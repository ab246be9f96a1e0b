"""``falcon codal``: CODAL-Bench, or the small set that comes along, with a judge of choice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from typer import Argument, Option

from falcon.cli.options import model_of, takes
from falcon.config import Settings, settings_at
from falcon.env import find_root, state_dir
from falcon.errors import UserError

if TYPE_CHECKING:
    from falcon.critics import Critic


@dataclass(frozen=True)
class CodalOptions:
    """What the command line says. Empty: the settings' own."""

    source: Annotated[
        str, Argument(help="codal-style (25 instructions of our own) or a file of the set.")
    ] = "codal-style"
    judge: Annotated[
        Literal["model", "api", "recorded"], Option(help="Who marks the responses.")
    ] = "model"
    judge_model: Annotated[str, Option(help="Default: feedback.critic.model.")] = ""
    judge_url: Annotated[str, Option(help="Address of an endpoint (--judge api).")] = ""
    judgements: Annotated[
        Path | None, Option(help="File of recorded answers (--judge recorded).")
    ] = None
    reference: Annotated[str, Option(help="Whose responses are the references.")] = ""
    model: Annotated[str, Option(help="Model under test; default: the settings'.")] = ""
    server: Annotated[
        str, Option(help="Address of a server that has --model; no model is loaded here.")
    ] = ""
    adapter: Annotated[Path | None, Option(help="A PEFT folder on that model.")] = None
    limit: Annotated[int, Option(min=0, help="Instructions a preference; 0: all.")] = 0
    max_new_tokens: Annotated[int, Option(min=8, help="Longest response.")] = 1024
    faults_are_zero: Annotated[
        bool, Option("--faults-are-zero", help="As the benchmark's own script counts.")
    ] = False
    out: Annotated[Path | None, Option(help="Folder; default: state/codal.")] = None
    rescore: Annotated[bool, Option("--rescore", help="Judge the stored responses again.")] = False


@takes(CodalOptions)
def codal(o: CodalOptions) -> None:
    """Have a model answer instructions and a judge mark the answers from 1 to 10.

    Interrupted, the same command goes on where it was.
    """
    from falcon.critics import make_critic
    from falcon.evaluation import codal as bench
    from falcon.evaluation.chunks import ChunkStore
    from falcon.monitor import ConsoleMonitor
    from falcon.policy.adapter import adapter_digest
    from falcon.problems.codal import load_codal

    root = find_root()
    settings = with_options(settings_at(root), o)
    folder = o.out or state_dir(root) / "codal"
    critic = make_critic(o.judge, settings.feedback.critic, folder / "judgements")
    monitor = ConsoleMonitor(Console(stderr=True))
    instructions = tuple(bench.spread_evenly(load_codal(o.source), o.limit))
    chosen, references = bench.references_of(instructions, o.reference)
    if o.rescore:
        rows, stored = bench.read(folder)
        _require_same_set(rows, references, o.source)
        about = stored["model"]  # the one that wrote them, whatever --model says
    else:
        digest = adapter_digest(o.adapter) if o.adapter else ""
        plan = bench.Plan(settings.policy, instructions, o.adapter, digest, o.max_new_tokens)
        about = {"name": plan.policy.model, "adapter": digest, "max_new_tokens": o.max_new_tokens}
        rows = bench.respond(plan, folder / "unfinished", monitor)  # of earlier runs, too
    rows = bench.judge(rows, references, critic, monitor)
    scores = {"source": o.source, "model": about, "reference": chosen}
    scores |= _scores(rows, critic, settings, o.faults_are_zero)
    origin = {"reference": chosen, "judge": critic.name, "judge_version": critic.version}
    bench.write([row | origin for row in rows], scores, folder)
    ChunkStore(folder / "unfinished").clear()  # only now: the results are written
    show(scores, critic, folder / bench.RESPONSES)


def with_options(settings: Settings, o: CodalOptions) -> Settings:
    """The settings with what the command line says instead; empty: nothing."""
    critic = {"model": o.judge_model, "url": o.judge_url, "recorded": str(o.judgements or "")}
    values = {"policy.model": model_of(o), "policy.server": o.server}
    values |= {f"feedback.critic.{key}": value for key, value in critic.items()}
    return settings.changed({key: value for key, value in values.items() if value})


def _scores(
    rows: list[dict[str, Any]], critic: Critic, settings: Settings, faults_are_zero: bool
) -> dict[str, Any]:
    from falcon.evaluation.codal import score
    from falcon.evaluation.codal_prompts import VERSION

    level = settings.gate.confidence
    scores = score(rows, confidence=level, seed=settings.seed, faults_are_zero=faults_are_zero)
    judge = {"name": critic.name, "version": critic.version}  # marks of two judges do not compare
    return scores | {"judge": judge, "prompt_version": VERSION, "confidence": level}


def _require_same_set(rows: list[dict[str, Any]], references: dict[str, str], source: str) -> None:
    others = [row["id"] for row in rows if row["id"] not in references]
    if others:
        raise UserError(
            f"the stored response to `{others[0]}` is to no instruction of {source}.",
            hint="Name the set the responses were made for, and the same --limit.",
        )


def show(scores: dict[str, Any], critic: Critic, file: Path) -> None:
    """Print one row for each preference and one for all, what judging cost, and where the answers
    are. Raises UserError when a preference has no mark."""
    table = Table(box=None)
    for name in ("preference", "instructions", "mark 1-10", "faults"):
        table.add_column(name)
    for name, row in scores["preferences"].items():
        table.add_row(name, str(row["instructions"]), _mark(row), str(row["faults"]))
    table.add_row("all", "", _mark(scores["all"]), "")
    console = Console(width=100)  # on a pipe rich would fold the rows at 80
    console.print(table)
    used = critic.usage
    cost = f", cost {used.cost:.4f}" if used.cost else ""
    judge = f"judge {critic.name} {critic.version}: {used.asked} asked, {used.reused} known"
    console.print(f"{judge}, {used.faults} without an answer{cost}", highlight=False)
    typer.echo(str(file), err=True)  # a pipe gets the table alone
    if scores["all"]["value"] is None:  # last: what there is has been printed
        raise UserError(
            "the judge marked no response of at least one preference.",
            hint=f"Its answers and faults are in {file}.",
        )


def _mark(row: dict[str, float | None]) -> str:
    if row["value"] is None:
        return "-"
    return f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
