"""Prepare: read the sources, judge every reference, look for leaks and duplicates.

Whatever is wrong with the data is a column of the checked table, so the check names the
problem's id. Nothing is repaired or left out silently.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from falcon.problems.problem import Difficulty, Split
from tasks.support.check_report import named
from tasks.support.checks import validate
from tasks.support.expectations import NONE, Suites, among, between, expect, present, rows, unique
from tasks.support.files import path_md5
from tasks.support.memory import TimedEncoder
from tasks.support.stage import Stage, StageResult

if TYPE_CHECKING:
    import pandas as pd

    from falcon.problems.overlap import Overlap
    from falcon.problems.problem import Problem
    from falcon.sandbox.verdict import Verdict


def run(stage: Stage) -> StageResult:
    """Writes ``problems.parquet``, the sources' problems in their splits, and ``overlap.html``:
    which of them a benchmark or a held-out split holds, too."""
    import pandas as pd

    from falcon.memory.encoder import make_encoder
    from falcon.problems import find_duplicates, find_overlap, load_sources, write_problems
    from falcon.problems.overlap_report import write_overlap
    from falcon.problems.problem import HELD_OUT

    settings, data = stage.settings, stage.space.data
    problems = load_sources(settings.data, data, settings.policy.model)
    held_out = _held_out(problems, settings.benchmark.names, data)
    benchmark = {p.id for each in held_out.values() for p in each} - {p.id for p in problems}
    start = time.perf_counter()
    verdicts = _judge(stage, problems)
    judged = time.perf_counter() - start
    encoder = TimedEncoder(make_encoder(settings.memory.encoder))
    overlap = find_overlap(
        [p for p in problems if p.split not in HELD_OUT],
        held_out,
        ngram=settings.data.leak_ngram,
        similarity=settings.data.leak_similarity,
        encode=encoder.encode,
    )
    duplicates = find_duplicates(problems)
    facts = _facts(problems, verdicts)
    write_problems(stage.out / "problems.parquet", problems)
    write_overlap(overlap, stage.out / "overlap.html")
    stage.artifacts += [stage.out / "overlap.html", stage.out / "problems.parquet"]
    stage.digests["problems.md5"] = path_md5(stage.out / "problems.parquet")
    tables = {
        "problems": _table(problems, verdicts, overlap, duplicates),
        "facts": pd.DataFrame([facts]),
    }
    report = validate("prepare", tables, expectations(), docs=stage.docs)
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
    """What must not be trained on, each problem once: every suite, then the sources' own."""
    from falcon.problems import load_benchmark
    from falcon.problems.problem import HELD_OUT

    held_out: dict[str, list[Problem]] = {}
    ids: set[str] = set()
    for suite in suites:
        held_out[suite] = [p for p in load_benchmark(suite, data) if p.id not in ids]
        ids |= {p.id for p in held_out[suite]}
    held_out["held out of the sources"] = [
        p for p in problems if p.split in HELD_OUT and p.id not in ids
    ]
    return held_out


def _judge(stage: Stage, problems: Sequence[Problem]) -> dict[str, list[Verdict]]:
    """By problem id: the verdict on the empty program, then on each reference solution."""
    from falcon.sandbox import Program, Sandbox

    # All programs go to the sandbox at once, so its workers are never idle between problems.
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
    overlap: Overlap,
    duplicates: Sequence[tuple[str, str]],
) -> pd.DataFrame:
    import pandas as pd

    leaks, copies = defaultdict(list), defaultdict(list)
    for leak in overlap.leaks:
        leaks[leak.train_id].append(leak.held_out_id)
    for first, second in duplicates:
        copies[second].append(first)
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
            "judging_faults": _faults(verdicts[p.id]),
            "leaks": named(leaks[p.id]),
            "duplicates": named(copies[p.id]),
        }
        for p in problems
    )


def _facts(problems: Sequence[Problem], verdicts: dict[str, list[Verdict]]) -> dict[str, int]:
    from falcon.problems.problem import Split

    splits = Counter(p.split for p in problems)
    faults = sum(_faults(each) for each in verdicts.values())
    return {**{s.value: splits[s] for s in Split}, "judging_faults": faults}


def _faults(verdicts: Sequence[Verdict]) -> int:
    from falcon.sandbox.verdict import Outcome

    return sum(verdict.outcome is Outcome.SANDBOX_ERROR for verdict in verdicts)


def expectations() -> Suites:
    """Problems: schema, gradable, no duplicate, nothing of the benchmarks in training."""
    return {
        "problems": [
            rows(2),
            present("id"),
            unique("id"),
            among("split", [s.value for s in Split]),
            among("difficulty", [d.value for d in Difficulty]),
            expect("ColumnValueLengthsToBeBetween", column="statement", min_value=1),
            present("tests"),
            between("solutions", 0, None),
            among("reference_passes", [True]),
            among("empty_fails", [True]),
            among("judging_faults", [0]),
            among("leaks", NONE),
            among("duplicates", NONE),
        ],
        "facts": [
            between("train", 1, None),
            between("demo", 0, None),
        ],
    }
