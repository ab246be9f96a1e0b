"""Pass rates: how often a model solves each problem, so that training can take what it can learn.

A problem that a model always or never solves teaches it nothing: all of its programs get one
reward. Programs are drawn as in training, by the bare model, and judged as in a benchmark.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from falcon.errors import UserError
from falcon.evaluation.benchmark import make_samples
from falcon.evaluation.chunks import ChunkStore
from falcon.evaluation.plan import BASE, Benchmarks, make_plan
from falcon.files import write_whole
from falcon.monitor import Monitor
from falcon.problems.files import PATH
from falcon.problems.rows import read_rows
from falcon.sandbox.verdict import Outcome

if TYPE_CHECKING:
    from falcon.config import Settings
    from falcon.problems.problem import Problem

_PLACE = "rated"  # in the place of a benchmark's name, on which the random numbers depend


def measure_pass_rates(
    settings: Settings, problems: Sequence[Problem], samples: int, work: Path, monitor: Monitor
) -> dict[str, float]:
    """Share of ``samples`` programs of the bare model that pass, 0 to 1, by problem id.

    Chunks of work are kept in ``work`` until all are there. Problems too long for a prompt have
    no rate; a program that the sandbox could not judge counts as not passed. Raises UserError if
    no problem fits.
    """
    from falcon.policy.backbone import load_prompts

    drawn = {k: getattr(settings.sampling, k) for k in type(settings.sampling).model_fields}
    settings = settings.changed(
        {f"benchmark.{k}": v for k, v in drawn.items()} | {"benchmark.samples": samples}
    )
    prompts = load_prompts(settings.policy)
    # Without the rates that are there: what was measured of another model changes nothing.
    bare = [p.model_copy(update={"pass_rates": {}}) for p in problems]
    fitting = [p for p in bare if prompts.fits(p)]
    if not fitting:
        raise UserError("No problem fits into a prompt.", hint="Raise policy.max_prompt_tokens.")
    benchmarks = Benchmarks(prompts.form, {_PLACE: fitting})
    plan = make_plan(settings, benchmarks, {BASE: ""}, None)
    store = ChunkStore(work)
    make_samples(settings, prompts.form, plan, store, {BASE: None}, None, monitor)
    passed: dict[str, list[bool]] = defaultdict(list)
    for row in (row for chunk in plan for row in store.read(chunk.key)):
        passed[row["problem_id"]].append(row["outcome"] == Outcome.PASS)
    store.clear()
    return {name: sum(each) / len(each) for name, each in passed.items()}


def write_pass_rates(path: Path, out: Path, model: str, rates: Mapping[str, float]) -> None:
    """Write the file of problems ``path`` with the rates of ``model`` to ``out``, all else as it
    was."""
    numbered, _ = read_rows(path, missing=PATH)
    rows = [row for _, row in numbered]
    for row in rows:
        if row["id"] in rates:
            row["pass_rates"] = {**row.get("pass_rates", {}), model: rates[row["id"]]}
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    write_whole(out, "".join(f"{line}\n" for line in lines).encode())
