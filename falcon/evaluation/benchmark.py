"""Benchmark: policies scored alike on held-out problems, every sample kept.

Prompts, extraction, sandbox and the adaptation to what memory recalls (``memory.into``) are those
of training. The bare backbone gets no adapter and no memory. Work is done in chunks, and an
interrupted run goes on with the missing ones. Nothing is trained or added to a memory.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.errors import without_passwords
from falcon.evaluation.chunks import ChunkStore, Row
from falcon.evaluation.plan import (
    Benchmarks,
    Chunk,
    load_benchmarks,
    make_plan,
    recalls,
    same_as,
)
from falcon.evaluation.report import write_report
from falcon.evaluation.scores import flat_metrics, score_samples
from falcon.files import write_whole
from falcon.generation.generator import policy_here
from falcon.monitor import Monitor
from falcon.sandbox.verdict import Outcome

if TYPE_CHECKING:
    import pandas as pd

    from falcon.config import Settings
    from falcon.memory import LongTermMemory
    from falcon.problems.trained_on import TrainedOn
    from falcon.prompts.forms import Form
    from falcon.rollout import Attempt, Solver

_NUMBERS = ("reward", "test_reward", "coarse", "error", "style", "complexity", "negative")
"""Columns without a value for a sample that the sandbox could not judge."""
_MESSAGE = 300  # characters kept of an error message


@dataclass(frozen=True)
class BenchmarkFolders:
    """``data``: problems; ``out``: results; ``work``: chunks of an unfinished run, emptied at
    the end."""

    data: Path
    out: Path
    work: Path


@dataclass(frozen=True)
class BenchmarkResult:
    """What a benchmark gave. Times (seconds) are only in ``metrics``, as ``time/...``."""

    scores: dict[str, Any]
    comparisons: dict[str, Any]
    metrics: dict[str, float]


def run_benchmark(
    settings: Settings,
    *,
    folders: BenchmarkFolders,
    memory: LongTermMemory | None,
    policies: Mapping[str, Path | None],
    monitor: Monitor,
    curves: pd.DataFrame | None = None,
    trained_on: TrainedOn | None = None,
) -> BenchmarkResult:
    """Score ``policies`` (name -> adapter folder; ``base``: None) on ``benchmark.names``.

    Writes ``samples.parquet``, ``scores.json`` and ``report.html`` into ``folders.out``.
    Every policy but ``base`` recalls from ``memory``, if ``memory.at`` says so.
    ``curves`` (a column ``step`` and metrics) are drawn in the report. Problems in ``trained_on``
    are not scored. Raises UserError for an
    unknown benchmark, an absent adapter or a benchmark without any problem that fits.
    """
    started = time.perf_counter()
    digests = {name: _digest(folder) if folder else "" for name, folder in policies.items()}
    same = same_as(digests)
    benchmarks = load_benchmarks(settings, folders.data, trained_on)
    # A policy with the weights of another one gets its samples: they would be the same.
    distinct = {name: digest for name, digest in digests.items() if name not in same}
    plan = make_plan(settings, benchmarks, distinct, memory)
    store = ChunkStore(folders.work)
    times = make_samples(settings, benchmarks.form, plan, store, policies, memory, monitor)
    rows = _rows(plan, store, benchmarks, list(policies), same)
    frame = sample_table(rows)
    about = {
        name: {"adapter_digest": digests[name], "memory": recalls(settings, name, memory)}
        for name in policies
    }
    scored = score_samples(
        frame,
        about=about,
        benchmarks=list(benchmarks.problems),
        confidence=settings.gate.confidence,
        seed=settings.seed,
    )
    scores = {**head(settings, memory, benchmarks), **scored}
    write_results(frame, scores, curves, folders.out)
    store.clear()
    times["time/benchmark_s"] = time.perf_counter() - started
    return BenchmarkResult(scores, scored["comparisons"], flat_metrics(scored) | times)


def _digest(folder: Path) -> str:
    from falcon.policy.adapter import adapter_digest  # torch, which no server's own weights need

    return adapter_digest(folder)


def make_samples(
    settings: Settings,
    form: Form,
    plan: Sequence[Chunk],
    store: ChunkStore,
    policies: Mapping[str, Path | None],
    memory: LongTermMemory | None,
    monitor: Monitor,
) -> dict[str, float]:
    """Make the missing chunks; the seconds spent by kind. Without any no model is loaded."""
    missing = [chunk for chunk in plan if chunk.key not in store]
    if not missing:
        return {}
    from falcon.feedback import make_judge
    from falcon.generation.make import open_generator
    from falcon.rollout import Solver
    from falcon.sandbox import Sandbox

    since = time.perf_counter()
    generator, take_adapter = open_generator(settings.policy, settings.seed)
    generator.ask(form)  # with its worked examples, which a policy does not know
    for adapter in filter(None, policies.values()):
        take_adapter(adapter)  # refused before any work, not after it
    loading = time.perf_counter() - since
    with Sandbox(settings) as sandbox:
        solver = Solver(settings, generator, sandbox, make_judge(settings.feedback))
        solver.clock.seconds["load"] = loading
        # One backbone for all: only the adapter changes from policy to policy.
        for name in dict.fromkeys(chunk.policy for chunk in missing):
            own_chunks = [chunk for chunk in missing if chunk.policy == name]
            folder = policies[name]
            if folder is not None:
                take_adapter(folder)
            _run_chunks(solver, own_chunks, store, memory, folder is not None, monitor)
        return solver.clock.read()


def _run_chunks(
    solver: Solver,
    chunks: Sequence[Chunk],
    store: ChunkStore,
    memory: LongTermMemory | None,
    use_adapter: bool,
    monitor: Monitor,
) -> None:
    """Attempt and store the chunks of one policy, whose adapter is loaded."""
    from falcon.generation.completion import Draws, Weights
    from falcon.rollout import error_share_of

    settings = solver.settings
    # One P_error of eq. 9 for all policies, or their composite rewards could not be compared.
    share = error_share_of(settings, memory)
    total = sum(len(chunk.problems) for chunk in chunks)
    with monitor.progress(f"benchmark {chunks[0].policy}", total) as bar:
        for chunk in chunks:
            own_memory = memory if recalls(settings, chunk.policy, memory) else None
            fast = None
            if own_memory is not None and settings.memory.into == "weights":
                from falcon.training.adapt_on_recall import adapted_weights

                fast = adapted_weights(
                    policy_here(solver.generator),
                    settings,
                    chunk.problems,
                    own_memory,
                    "eval",
                    at_once=settings.train.meta.tasks,
                    clock=solver.clock,
                )
            draws = Draws.of(settings.benchmark, settings.benchmark.samples, chunk.seed)
            groups = solver.attempt(
                chunk.problems,
                replace(draws, streams=chunk.streams),
                memory=own_memory,
                phase="eval",
                weights=Weights(fast, use_adapter=use_adapter),
                error_share=share,
                monitor=monitor,
            )
            attempts = (attempt for group in groups for attempt in group)
            store.write(chunk.key, [sample_row(chunk.benchmark, each) for each in attempts])
            bar.advance(len(chunk.problems))


def sample_table(rows: Sequence[Row]) -> pd.DataFrame:
    """Stored samples as a table; columns of numbers stay so even if every value is absent."""
    import pandas as pd

    return pd.DataFrame(list(rows)).astype(dict.fromkeys(_NUMBERS, "float64"))


def sample_row(benchmark: str, attempt: Attempt) -> Row:
    """One attempt as stored. Without times: equal inputs must give equal tables."""
    from falcon.rollout import attempt_row

    row = {k: v for k, v in attempt_row(attempt).items() if k not in ("split", "cpu_s")}
    faulty = not attempt.judged
    return {
        "suite": benchmark,  # stored columns and JSON keys say `suite`; here it is a benchmark
        **row,
        "reward": None if faulty else attempt.reward,
        "test_reward": None if faulty else attempt.test_reward,
        "passed_base": _passed_base(attempt),
        "prompt_version": attempt.prompt_version,
        "completion": attempt.completion.text,
        "finished": attempt.completion.finished,
        "error_message": attempt.feedback.error_message[:_MESSAGE],
    }


def _passed_base(attempt: Attempt) -> bool | None:
    """Whether the original benchmark's tests pass; None if there are no others, or no verdict."""
    base = attempt.problem.base_tests
    cases = attempt.verdict.cases[:base]
    if not base or not attempt.judged:
        return None
    # Fewer cases than tests: the program ended before them.
    return len(cases) == base and all(case.outcome is Outcome.PASS for case in cases)


def _rows(
    plan: Sequence[Chunk],
    store: ChunkStore,
    benchmarks: Benchmarks,
    policies: Sequence[str],
    same: Mapping[str, str],
) -> list[Row]:
    """All samples, sorted by policy, benchmark, problem (the benchmark's order) and sample."""
    made: dict[str, list[Row]] = {}
    for chunk in plan:
        made.setdefault(chunk.policy, []).extend(store.read(chunk.key))
    places = [(b, p.id) for b, problems in benchmarks.problems.items() for p in problems]
    place = {key: position for position, key in enumerate(places)}
    rows = []
    for policy in policies:
        # Chunks hold long tasks first; the table has the order of the benchmark.
        samples = sorted(
            made[same.get(policy, policy)],
            key=lambda r: (place[r["suite"], r["problem_id"]], r["sample"]),
        )
        rows += [{"policy": policy, **row} for row in samples]
    return rows


def head(
    settings: Settings, memory: LongTermMemory | None, benchmarks: Benchmarks
) -> dict[str, Any]:
    """What ``scores.json`` says of the run before the scores."""
    b = settings.benchmark
    return {
        "prompt_version": benchmarks.form.version,
        "memory_digest": memory.digest() if memory is not None else "",
        "confidence": settings.gate.confidence,
        "decoding": "greedy" if b.samples == 1 else f"sampled, T {b.temperature}, top-p {b.top_p}",
        "model": settings.policy.model,
        "server": without_passwords(settings.policy.server),
        "left_out": benchmarks.left_out,
        "trained_on": benchmarks.trained_on,
    }


def write_results(
    frame: pd.DataFrame, scores: dict[str, Any], curves: pd.DataFrame | None, out: Path
) -> None:
    """Write the samples, the scores and the report, each whole or not at all."""
    packed = io.BytesIO()
    frame.to_parquet(packed, index=False)
    write_whole(out / "samples.parquet", packed.getvalue())
    text = json.dumps(scores, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_whole(out / "scores.json", text.encode())
    write_report(scores, frame, curves, out / "report.html")
