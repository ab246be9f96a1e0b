"""``falcon memory``: look into a long-term memory, and prune it.

Only ``prune`` changes anything: it puts a new memory in the place of the old one, and keeps the
old one beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from typer import Argument, Option

from falcon import env
from falcon.config import settings_at
from falcon.errors import UserError

if TYPE_CHECKING:
    from falcon.memory.experience import Experience
    from falcon.memory.long_term import LongTermMemory

app = typer.Typer(help="Look into a long-term memory.", no_args_is_help=True)

Folder = Annotated[Path | None, Option(help="The memory; default: outputs/train/memory.")]


def _open(folder: Path | None, *, search: bool = False) -> LongTermMemory:
    from falcon.memory import HashEncoder, LongTermMemory, make_encoder

    root = env.find_root()
    place = folder or root / "outputs" / "train" / "memory"
    if not place.is_dir():
        raise UserError(
            f"{place}: no memory there.", hint="Run `falcon run`, or give --folder FOLDER."
        )
    # Only a search embeds anything, so only a search needs the real encoder.
    settings = settings_at(root)
    encoder = make_encoder(settings.memory.encoder) if search else HashEncoder()
    return LongTermMemory.open(place, encoder, index=env.search_index(root), settings=settings)


def _say(text: str) -> None:
    from falcon.listing import printable

    typer.echo(printable(text))  # texts of models may hold control characters


@app.command()
def stats(folder: Folder = None) -> None:
    """How much there is, from where, and how it ended."""
    with _open(folder) as memory:
        everything = list(memory)
        _say(f"folder       {memory.folder}")
        _say(f"experiences  {len(memory)} of {len(memory.problems())} problems")
        if memory.pruned:
            _say(f"pruned       {memory.pruned} more, of which key and error are left")
        _say(f"digest       {memory.digest()}")
        counts = memory.error_counts()
    if everything:
        scores = [e.score for e in everything]
        mean = sum(scores) / len(scores)
        _say(f"score        mean {mean:.3f}, {min(scores):.3f} to {max(scores):.3f}")
    _table("outcome", (e.verdict.outcome.value for e in everything))
    _table("error type", (kind for kind, n in counts.items() for _ in range(n)))
    _table("stage", (e.origin.stage for e in everything))
    _table("policy", (e.origin.policy or "-" for e in everything))


def _table(title: str, values: Iterable[str]) -> None:
    counts = Counter(values)
    if counts:
        _say(f"\n{title}")
    for value, number in counts.most_common():
        _say(f"  {value:<22} {number}")


@app.command()
def search(
    text: Annotated[str, Argument(help="A task in words.")],
    folder: Folder = None,
    top: Annotated[int, Option(min=1, help="How many.")] = 5,
) -> None:
    """The experiences nearest to a task (eq. 6), best first: similarity, key, outcome, score."""
    with _open(folder, search=True) as memory:
        hits = memory.recall(text, k=top, min_similarity=-1.0)  # the nearest, however far
    for hit in hits:
        e = hit.experience
        task = " ".join(e.task.split())
        short = task if len(task) <= 80 else f"{task[:77]}..."
        _say(
            f"{hit.similarity:.3f}  {e.key[:12]}  {e.verdict.outcome.value:<14} "
            f"{e.score:+.2f}  {e.problem_id}: {short}"
        )


@app.command()
def show(
    key: Annotated[str, Argument(help="A key as `search` prints it, or its beginning.")],
    folder: Folder = None,
) -> None:
    """All of one experience: task, program, outcome, rewards, origin."""
    with _open(folder) as memory:
        matches = [e for e in memory if e.key.startswith(key.lower())]
        place = memory.folder  # for the message, after the memory is closed
    if len(matches) != 1:
        hint = "Give more of it." if matches else "`falcon memory search TEXT` shows keys."
        raise UserError(f"{place}: {len(matches) or 'no'} experiences with key {key}.", hint=hint)
    _show(matches[0])


def _show(e: Experience) -> None:
    from falcon.listing import print_code

    o = e.origin
    _say(f"{e.key}\n{e.problem_id}  {e.split.value}  score {e.score:+.3f}")
    _say(f"from {o.stage}, step {o.step}, policy {o.policy or '-'}{o.run and f', run {o.run}'}")
    _say(f"\n--- task\n{e.task.rstrip()}\n\n--- program")
    print_code(Console(), e.program)
    v, f = e.verdict, e.feedback
    _say(f"\n--- outcome\n{v.outcome.value}, {v.n_pass} of {len(v.cases)} tests pass")
    if f.error_type:
        _say(f"{f.error_type} on line {f.error_line}: {f.error_message}")
    for reward in f.rewards:
        _say(f"{reward.term:<10} {reward.value:+.3f}  {reward.reason}")


@app.command()
def report(
    folder: Folder = None,
    out: Annotated[Path, Option(help="Where the page goes.")] = Path("memory.html"),
) -> None:
    """A page about the memory: growth, error types over time, a map by outcome."""
    from falcon.memory.report import write_report

    with _open(folder, search=True) as memory:
        write_report(memory, out, f"Memory {memory.folder}")
        _say(f"{out}: {len(memory)} experiences")


@app.command()
def export(
    out: Annotated[Path, Argument(help="The Parquet file to write.")], folder: Folder = None
) -> None:
    """All experiences as one Parquet table."""
    from falcon.memory import to_parquet

    with _open(folder) as memory:
        _say(f"{out}: {to_parquet(memory, out)} experiences")


@app.command()
def rebuild(folder: Folder = None) -> None:
    """Make the index anew from the log; texts that were embedded before are not embedded again."""
    from rich.progress import Progress

    with _open(folder, search=True) as memory, Progress(console=Console(stderr=True)) as bars:
        bar = bars.add_task("index", total=None)
        index = memory.rebuild_index(lambda n: bars.advance(bar, n))
        if index.exact and memory.settings.machine.search != "exact":  # it fell back to exact
            raise UserError(
                f"{index.folder}: the index is in use, or its disk takes no writes.",
                hint="Wait for the process that has it open.",
            )
        _say(f"{index.folder}: {len(index)} texts of {len(memory)} experiences")


@app.command()
def prune(
    keep: Annotated[int, Option(min=1, help="Experiences to keep at most.")],
    folder: Folder = None,
    out: Annotated[
        Path | None, Option(help="Write the pruned memory here instead of in its place.")
    ] = None,
) -> None:
    """Keep the most valuable experiences; of the others key and error stay, for the statistics.

    Each problem keeps its best program that passes, then the newest failure of each error type.
    In its place the old memory stays beside the new one, as FOLDER.before.
    """
    from falcon.memory.copying import replace_by

    with _open(folder) as memory:
        place, size = memory.folder, len(memory)
        if size <= keep:
            _say(f"{place}: {size} experiences, nothing to prune")
            return
        pruned = out or place.with_name(f"{place.name}.pruned")  # on the same disk: a rename
        memory.copy_to(pruned, keep=keep)
    if out is None:  # only when the memory is closed
        before = replace_by(place, pruned)
        _say(f"{place}: {keep} of {size} experiences; the memory as it was is in {before}")
    else:
        _say(f"{out}: {keep} of {size} experiences")
