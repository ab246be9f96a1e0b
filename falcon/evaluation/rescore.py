"""Rescore: judge the stored samples of a benchmark again, without the model.

Programs are extracted from the stored completions, run, assessed and scored anew, so that a
change of extraction, sandbox, tests or rewards shows on old samples. Completions and policies
stay as they were.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.errors import UserError
from falcon.evaluation import benchmark as bench
from falcon.evaluation.plan import Benchmarks, benchmark_names
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
) -> bench.BenchmarkResult:
    """Judge ``out/samples.parquet`` again and write the three files of a benchmark anew.

    ``settings.benchmark.names`` must name every benchmark of the samples. Raises UserError when
    there are no samples, or a sample's problem is in none of the benchmarks.
    """
    import pandas as pd

    file, scores_file = out / "samples.parquet", out / "scores.json"
    if not (file.is_file() and scores_file.is_file()):
        raise UserError(f"{out}: no samples to score.", hint="Run the benchmark without --rescore.")
    before = pd.read_parquet(file)
    stored = json.loads(scores_file.read_text(encoding="utf-8"))
    sources = settings.benchmark.names
    problems = {
        (name, p.id): p
        for name, source in zip(benchmark_names(sources), sources, strict=True)
        for p in load_benchmark(source, data_dir)
    }
    answered = zip(before["suite"], before["problem_id"], strict=True)
    missing = [key for key in answered if key not in problems]
    if missing:
        benchmark, problem = missing[0]
        names = ", ".join(dict.fromkeys(before["suite"]))
        raise UserError(
            f"{file}: `{problem}` of `{benchmark}` is in no benchmark named.",
            hint=f"Name the benchmarks of the samples: {names}.",
        )
    form = _form(file, before)
    frame = bench.sample_table(_judged(settings, form, before, problems, memory, monitor))
    about = {
        name: {key: value for key, value in policy.items() if key != "suites"}
        for name, policy in stored["policies"].items()
    }
    scored = score_samples(
        frame,
        about=about,
        benchmarks=list(dict.fromkeys(before["suite"])),
        confidence=settings.gate.confidence,
        seed=settings.seed,
    )
    # Of when the samples were generated, whatever the settings say now.
    keys = ("decoding", "model", "memory_digest", "left_out", "trained_on")
    kept = {key: stored[key] for key in keys if key in stored}
    scores = {**bench.head(settings, memory, Benchmarks(form)), **kept, **scored}
    bench.write_results(frame, scores, None, out)
    return bench.BenchmarkResult(scores, scored["comparisons"], flat_metrics(scored))


def _form(file: Path, before: pd.DataFrame) -> Form:
    """The form of the prompts that were answered: it says where the programs stand in answers."""
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
    from falcon.generation.completion import Completion
    from falcon.rollout import Draft, Examiner, error_share_of
    from falcon.sandbox import Sandbox

    groups = [
        ((str(policy), str(benchmark), str(problem)), rows)
        for (policy, benchmark, problem), rows in before.groupby(  # type: ignore[misc]
            ["policy", "suite", "problem_id"], sort=False
        )
    ]
    completions = [
        [Completion((), str(text), "end" if finished else "length") for text, finished in texts]
        for texts in (zip(rows["completion"], rows["finished"], strict=True) for _, rows in groups)
    ]
    drafts = [
        [Draft.of(problems[name, problem], i, (), c, form) for i, c in enumerate(group)]
        for ((_, name, problem), _), group in zip(groups, completions, strict=True)
    ]
    with Sandbox(settings) as sandbox:
        examiner = Examiner(settings.feedback, sandbox, make_judge(settings.feedback))
        attempts = examiner.examine(drafts, error_share_of(settings, memory), monitor)
    rescored = []
    for ((policy, benchmark, _), rows), group in zip(groups, attempts, strict=True):
        for (_, old), attempt in zip(rows.iterrows(), group, strict=True):
            # Token ids are not stored, so their number is taken from the old row.
            kept = {k: old[k] for k in ("sample", "tokens", "prompt_version")}
            rescored.append({"policy": policy, **bench.sample_row(benchmark, attempt), **kept})
    return rescored
