"""``falcon evaluate``: score any model on any benchmarks, outside of the pipeline."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer import Argument, Option

from falcon.cli.options import model_of, takes
from falcon.config import settings_at
from falcon.env import find_root, state_dir

if TYPE_CHECKING:
    from falcon.evaluation.benchmark import BenchmarkResult


@dataclass(frozen=True)
class EvaluateOptions:
    """What the command line says. Empty: the settings' own."""

    benchmarks: Annotated[
        list[str],
        Argument(help="humaneval, builtin, mbpp:PATH, jsonl:PATH, ...; several may be named."),
    ]
    model: Annotated[str, Option(help="Package, folder or hub name; default: the settings'.")] = ""
    server: Annotated[
        str, Option(help="Address of a server that has --model; no model is loaded here.")
    ] = ""
    tokenizer: Annotated[
        str, Option(help="With --server: whose tokenizer makes the prompts; default: the model's.")
    ] = ""
    adapter: Annotated[
        Path | None,
        Option(help="A PEFT folder, scored beside the model that it names, or --model."),
    ] = None
    limit: Annotated[int, Option(min=0, help="Problems of each benchmark; 0: all.")] = 0
    samples: Annotated[int, Option(min=1, help="Programs a problem; 1 is greedy.")] = 1
    max_new_tokens: Annotated[
        int, Option(min=0, help="Tokens of an answer at most; 0: as in the settings.")
    ] = 1024
    prompt: Annotated[
        str, Option(help="auto, chat, chat-open, evalplus, ...; default: policy.prompt.")
    ] = ""
    out: Annotated[
        Path | None, Option(help="Folder of the results; default: state/evaluation.")
    ] = None
    rescore: Annotated[
        bool, Option("--rescore", help="Judge the samples in the folder again; no model is loaded.")
    ] = False
    as_json: Annotated[
        bool, Option("--json", help="Print the scores as one JSON object, as in scores.json.")
    ] = False


_OF_POLICY = ("server", "tokenizer", "prompt")


@takes(EvaluateOptions)
def evaluate(o: EvaluateOptions) -> None:
    """Score a model: samples.parquet, scores.json and report.html in one folder.

    Interrupted, the same command goes on where it was.
    """
    # Imported here, as in all commands: `--help` must not wait for torch.
    from falcon.evaluation.benchmark import BenchmarkFolders, run_benchmark
    from falcon.evaluation.rescore import rescore as again
    from falcon.monitor import ConsoleMonitor

    root = find_root()
    folder = o.out or state_dir(root) / "evaluation"
    values = {f"benchmark.{k}": getattr(o, k) for k in ("limit", "samples")}
    named = {"model": model_of(o)} | {k: getattr(o, k) for k in _OF_POLICY}
    values |= {f"policy.{k}": v for k, v in named.items() if v}  # if given
    if o.max_new_tokens:
        values["benchmark.max_new_tokens"] = o.max_new_tokens
    settings = settings_at(root).changed({"benchmark.names": o.benchmarks, **values})
    monitor = ConsoleMonitor(Console(stderr=True))
    if o.rescore:
        result = again(settings, data_dir=root / "data", memory=None, out=folder, monitor=monitor)
    else:
        policies = {"base": None} if o.adapter is None else {"base": None, "trained": o.adapter}
        result = run_benchmark(
            settings,
            folders=BenchmarkFolders(root / "data", folder, folder / "unfinished"),
            memory=None,  # long-term memory belongs to the pipeline
            policies=policies,
            monitor=monitor,
        )
    if o.as_json:
        typer.echo(json.dumps(result.scores))
    else:
        show(result)
    if settings.policy.server:  # which one depends on what is here
        typer.echo(f"prompts: {result.scores['prompt_version']}", err=True)
    typer.echo(f"{folder / 'report.html'}", err=True)  # a pipe gets the table alone


def show(result: BenchmarkResult) -> None:
    """Print pass@k with intervals, one row for each benchmark and policy."""
    table = Table(box=None)
    for name in ("benchmark", "policy", "problems", "pass@1", "tests passed", "cut", "verdicts"):
        table.add_column(name)
    for policy, results in result.scores["policies"].items():
        for benchmark, score in results["suites"].items():
            passed = percent(score["tests_passed"], "mean")
            cut = "-" if score["truncated"] is None else f"{score['truncated']:.1%}"
            if rescued := score.get("rescued"):
                cut += f" ({rescued:.1%} pass)"
            rows = [(benchmark, policy, score, passed, cut, _verdicts(score["verdicts"]))]
            rows += [(f"  {name}", "", part, "", "", "") for name, part in _parts(score)]
            for name, who, part, *rest in rows:
                solved = percent(part["pass@1"], "value")
                table.add_row(name, who, str(part.get("problems", "")), solved, *rest)
            if "all_weighted" in score:
                table.add_row(
                    "  All, as in APPS", "", "", f"{score['all_weighted']:.1%}", "", "", ""
                )
    Console(width=140).print(table)  # on a pipe rich would fold the rows at 80


def _parts(score: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    parts = [("base tests alone", score["base"])] if "base" in score else []
    levels = score["by_difficulty"]
    return parts + (list(levels.items()) if len(levels) > 1 else [])  # one: all of them


def percent(interval: dict[str, float | None], name: str) -> str:
    """``10.4 % [6.5, 16.0]``, or a dash where nothing was judged."""
    value, low, high = interval[name], interval["low"], interval["high"]
    if value is None or low is None or high is None:
        return "-"
    return f"{100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _verdicts(shares: dict[str, float | None]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share)
