"""Prepare: read the sources, judge every reference, look for leaks and duplicates.

Whatever is wrong with the data is a column of the checked table and so shows up with the
problem's id. Nothing is repaired or left out silently.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.support import expectations as suites
from tasks.support.checks import validate
from tasks.support.stage import Stage, StageResult
from tasks.support.timed_encoder import TimedEncoder

if TYPE_CHECKING:
    import pandas as pd

    from falcon.problems.problem import Problem
    from falcon.sandbox.verdict import Verdict


def body(stage: Stage) -> StageResult:
    """Writes ``problems.parquet``, problems of the sources in their splits, and
    ``overlap.html``, what of them a benchmark or a held-out split holds, too."""
    from falcon.memory.encoder import make_encoder
    from falcon.problems import find_duplicates, find_overlap, load_sources, write_problems
    from falcon.problems.overlap_report import write_overlap
    from falcon.problems.problem import HELD_OUT

    settings, data = stage.settings, stage.space.data
    problems = load_sources(settings.data, data)
    held_out = _held_out(problems, settings.benchmark.suites, data)
    known = {p.id for p in problems}
    benchmark = {p.id for each in held_out.values() for p in each} - known
    start = time.perf_counter()
    verdicts = _judge(stage, problems)
    judged = time.perf_counter() - start
    training = [p for p in problems if p.split not in HELD_OUT]
    encoder = TimedEncoder(make_encoder(settings.memory.encoder))
    overlap = find_overlap(
        training,
        held_out,
        ngram=settings.data.leak_ngram,
        similarity=settings.data.leak_similarity,
        encode=encoder.encode,
    )
    duplicates = find_duplicates(problems)
    table = _table(problems, verdicts, overlap.leaks, duplicates)
    facts = _facts(problems, verdicts)
    write_problems(stage.out / "problems.parquet", problems)
    write_overlap(overlap, stage.out / "overlap.html")
    stage.artifacts.append(stage.out / "overlap.html")
    report = validate(
        "prepare", {"problems": table, "facts": _row(facts)}, suites.prepare(), docs=stage.docs
    )
    metrics: dict[str, float] = {
        **facts,
        "problems": len(problems),
        "benchmark_problems": len(benchmark),
        "leaks": len(overlap.leaks),
        "duplicates": len(duplicates),
        "time/execute": judged,
        "time/embed": encoder.seconds,
    }
    return StageResult(metrics, report)


def _held_out(
    problems: Sequence[Problem], suites: Sequence[str], data: Path
) -> dict[str, list[Problem]]:
    """What must not be trained on, each problem once: every suite, and what else the sources
    hold out."""
    from falcon.problems import load_benchmark
    from falcon.problems.problem import HELD_OUT

    found: dict[str, list[Problem]] = {}
    seen: set[str] = set()
    for suite in suites:
        found[suite] = [p for p in load_benchmark(suite, data) if p.id not in seen]
        seen |= {p.id for p in found[suite]}
    found["held out of the sources"] = [
        p for p in problems if p.split in HELD_OUT and p.id not in seen
    ]
    return found


def _row(facts: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([facts])


def _judge(stage: Stage, problems: Sequence[Problem]) -> dict[str, list[Verdict]]:
    """By problem id: the verdict on the empty program, then on each reference solution."""
    from falcon.sandbox import Program, Sandbox

    programs = [Program(code, p.tests) for p in problems for code in ("", *p.solutions)]
    with (
        Sandbox(stage.settings) as sandbox,
        stage.monitor.progress("judging references", len(programs)) as bar,
    ):
        shown = 0

        def show(done: int) -> None:
            nonlocal shown
            bar.advance(done - shown)
            shown = done

        verdicts = iter(sandbox.judge_all(programs, progress=show))
    return {p.id: [next(verdicts) for _ in range(1 + len(p.solutions))] for p in problems}


def _table(
    problems: Sequence[Problem],
    verdicts: dict[str, list[Verdict]],
    leaks: Sequence[Any],
    duplicates: Sequence[tuple[str, str]],
) -> pd.DataFrame:
    import pandas as pd

    leaked = Counter(leak.train_id for leak in leaks)
    twice = Counter(second for _, second in duplicates)
    return pd.DataFrame(
        {
            "id": p.id,
            "source": p.source,
            "split": p.split.value,
            "difficulty": p.difficulty.value,
            "statement": p.statement,
            "tests": p.tests.kind,
            "solutions": len(p.solutions),
            "reference_passes": all(v.passed for v in verdicts[p.id][1:]),
            "empty_fails": not verdicts[p.id][0].passed,
            "leaks": leaked[p.id],
            "duplicates": twice[p.id],
        }
        for p in problems
    )


def _facts(problems: Sequence[Problem], verdicts: dict[str, list[Verdict]]) -> dict[str, int]:
    from falcon.problems.problem import Split
    from falcon.sandbox.verdict import Outcome

    splits = Counter(p.split for p in problems)
    faults = sum(v.outcome is Outcome.SANDBOX_ERROR for each in verdicts.values() for v in each)
    return {**{s.value: splits[s] for s in Split}, "judging_faults": faults}
