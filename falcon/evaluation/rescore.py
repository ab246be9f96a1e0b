"""Rescore: judge the stored samples of a benchmark again, without the model.

Programs are cut out of the stored completions anew, run, assessed and scored, so that a
change of extraction, sandbox, tests or rewards shows on old samples. What was generated and
which policies there are stays as it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.errors import UserError
from falcon.evaluation.benchmark import (
    BenchmarkResult,
    head,
    sample_row,
    sample_table,
    write_results,
)
from falcon.evaluation.plan import Suites, suite_names
from falcon.evaluation.scores import flat_metrics, score_samples
from falcon.monitor import Monitor
from falcon.problems import load_benchmark
from falcon.prompts.forms import Form, form_of_version

if TYPE_CHECKING:
    import pandas as pd

    from falcon.config import Settings
    from falcon.memory import LongTermMemory
    from falcon.problems.problem import Problem


def rescore(
    settings: Settings,
    *,
    data_dir: Path,
    memory: LongTermMemory | None,
    out: Path,
    monitor: Monitor,
    curves: pd.DataFrame | None = None,
) -> BenchmarkResult:
    """Judge ``out/samples.parquet`` again and write the three files of a benchmark anew.

    ``settings.benchmark.suites`` must name every suite of the samples. Raises UserError when
    there are no samples, or a sample's problem is in none of the suites.
    """
    import json

    import pandas as pd

    file, told = out / "samples.parquet", out / "scores.json"
    if not (file.is_file() and told.is_file()):
        raise UserError(f"{out}: no samples to score.", hint="Run the benchmark without --rescore.")
    before = pd.read_parquet(file)
    known = json.loads(told.read_text(encoding="utf-8"))
    listed = settings.benchmark.suites
    problems = {
        (name, p.id): p
        for name, suite in zip(suite_names(listed), listed, strict=True)
        for p in load_benchmark(suite, data_dir)
    }
    missing = [
        k for k in zip(before["suite"], before["problem_id"], strict=True) if k not in problems
    ]
    if missing:
        suite, problem = missing[0]
        raise UserError(
            f"{file}: `{problem}` of `{suite}` is in no suite named.",
            hint=f"Name the suites of the samples: {', '.join(dict.fromkeys(before['suite']))}.",
        )
    form = _form(file, before)
    frame = sample_table(_judged(settings, form, before, problems, memory, monitor))
    about = {
        name: {key: value for key, value in policy.items() if key != "suites"}
        for name, policy in known["policies"].items()
    }
    scored = score_samples(
        frame,
        about=about,
        suites=list(dict.fromkeys(before["suite"])),
        confidence=settings.gate.confidence,
        seed=settings.seed,
    )
    kept = {k: known[k] for k in ("decoding", "model", "memory_digest", "left_out") if k in known}
    scores = {**head(settings, memory, Suites(form)), **kept, **scored}
    write_results(frame, scores, curves, out)
    return BenchmarkResult(scores, scored["comparisons"], flat_metrics(scored))


def _form(file: Path, before: pd.DataFrame) -> Form:
    """The form of prompts that the samples answer, which says where the programs are in them."""
    versions = sorted(set(before["prompt_version"]))
    if len(versions) != 1:
        raise UserError(
            f"{file}: samples of several prompts ({', '.join(map(str, versions))}).",
            hint="Score those of one prompt.",
        )
    return form_of_version(versions[0])


def _judged(
    settings: Settings,
    form: Form,
    before: pd.DataFrame,
    problems: dict[tuple[str, str], Problem],
    memory: LongTermMemory | None,
    monitor: Monitor,
) -> list[dict[str, Any]]:
    """The rows of the table with every verdict and reward made anew, in the same order."""
    from falcon.feedback import make_judge
    from falcon.generation.local import Completion
    from falcon.rollout import Draft, Examiner, error_share_of
    from falcon.sandbox import Sandbox

    groups = [
        ((str(policy), str(suite), str(problem)), rows)
        for (policy, suite, problem), rows in before.groupby(  # type: ignore[misc]
            ["policy", "suite", "problem_id"], sort=False
        )
    ]
    drafts = [
        [
            Draft.of(
                problems[suite, problem], i, (), Completion((), str(text), bool(finished)), form
            )
            for i, (text, finished) in enumerate(
                zip(rows["completion"], rows["finished"], strict=True)
            )
        ]
        for (_, suite, problem), rows in groups
    ]
    with Sandbox(settings.sandbox) as sandbox:
        examiner = Examiner(settings.feedback, sandbox, make_judge(settings.feedback))
        attempts = examiner.examine(drafts, error_share_of(settings, memory), monitor)
    found = []
    for ((policy, suite, _), rows), group in zip(groups, attempts, strict=True):
        for (_, old), attempt in zip(rows.iterrows(), group, strict=True):
            kept = {k: old[k] for k in ("sample", "tokens", "prompt_version")}
            found.append({"policy": policy, **sample_row(suite, attempt), **kept})
    return found
