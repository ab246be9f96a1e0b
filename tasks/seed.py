"""Seed: the long-term memory that a run starts with.

First what was handed over (``handover/memory``; the most valuable ``memory.keep`` of it) without
problems held out by now, then this run's demonstrations.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from falcon.problems.problem import Split
from falcon.sandbox.verdict import Outcome
from tasks.support.check_report import CheckReport
from tasks.support.checks import validate
from tasks.support.expectations import Suites, among, between, present, rows
from tasks.support.handover import start_memory
from tasks.support.memory import TimedEncoder, open_memory
from tasks.support.stage import Stage, StageResult

if TYPE_CHECKING:
    from falcon.feedback.reward import Feedback
    from falcon.memory import LongTermMemory
    from falcon.memory.encoder import Encoder
    from falcon.memory.experience import Experience
    from falcon.problems.problem import Problem
    from falcon.sandbox.verdict import Verdict


def run(stage: Stage) -> StageResult:
    """Writes ``memory/``, the log of the long-term memory."""
    from falcon.memory import make_encoder
    from falcon.problems import read_problems
    from falcon.problems.problem import HELD_OUT

    settings = stage.settings
    problems = read_problems(stage.space.output("prepare") / "problems.parquet")
    held_out = {p.id for p in problems if p.split in HELD_OUT}
    encoder = TimedEncoder(make_encoder(settings.memory.encoder))
    start = time.perf_counter()
    made = _demonstrations(stage, problems)
    judged = time.perf_counter() - start
    folder = stage.out / "memory"
    shutil.rmtree(folder, ignore_errors=True)
    start_memory(stage.space, settings, folder, held_out)
    with open_memory(stage.space, settings, folder, encoder=encoder, writable=True) as memory:
        handed_over = len(memory)
        added = memory.append(made)
        report = _check(stage, memory, held_out, encoder, made)
        metrics = {
            "experiences": float(len(memory)),
            "carried_over": float(handed_over),
            "demonstrations": float(added),
            "time/execute": judged,
            "time/embed": encoder.seconds,
        }
        stage.digests["memory.digest"] = memory.digest()
    stage.folders["memory"] = folder
    return StageResult(metrics, report)


def _demonstrations(stage: Stage, problems: Sequence[Problem]) -> list[Experience]:
    """Judged experiences (task, program, verdict, feedback) of the problems' references."""
    from falcon.memory.seeding import demonstrations
    from falcon.sandbox import Program, Sandbox

    settings = stage.settings
    with Sandbox(settings) as sandbox:
        return demonstrations(
            problems,
            lambda pairs: sandbox.judge_all([Program(code, suite) for code, suite in pairs]),
            _feedback(stage),
            n=settings.memory.demonstrations,
            rng=np.random.default_rng(settings.seed),
            settings=settings.feedback,
        )


def _feedback(stage: Stage) -> Callable[[Problem, list[str], list[Verdict]], list[Feedback]]:
    from falcon.feedback.assess import assess_group
    from falcon.feedback.error_types import uniform_error_share
    from falcon.feedback.judges import make_judge

    settings = stage.settings.feedback
    judge = make_judge(settings)
    # No rollouts yet, so no error type is more frequent than another.
    even = uniform_error_share()

    def feedback(problem: Problem, programs: list[str], verdicts: list[Verdict]) -> list[Feedback]:
        return assess_group(
            programs,
            verdicts,
            settings=settings,
            judge=judge,
            error_share=even,
            references=problem.solutions,
            examples=problem.examples,
        )

    return feedback


def expectations() -> Suites:
    """Memory: usable vectors, demonstrations that pass, nothing held out."""
    return {
        "memory": [
            rows(),
            present("problem_id"),
            among("split", [Split.DEMO.value, Split.TRAIN.value]),
            among("held_out", [False]),
            among("outcome", [o.value for o in Outcome if o is not Outcome.SANDBOX_ERROR]),
            present("score"),
        ],
        "demonstrations": [
            rows(),
            among("vector_finite", [True]),
            among("reference_fails", [False]),
        ],
        "facts": [
            between("vector_sizes", 1, 1),
            between("references", 1, None),
        ],
    }


def _check(
    stage: Stage,
    memory: LongTermMemory,
    held_out: set[str],
    encoder: Encoder,
    made: list[Experience],
) -> CheckReport:
    import pandas as pd

    from falcon.memory.text import text_of

    rows = pd.DataFrame(
        {
            "key": e.key[:12],
            "problem_id": e.problem_id,
            "split": e.split.value,
            "held_out": e.problem_id in held_out,
            "outcome": e.verdict.outcome.value,
            "score": e.score,
            "stage": e.origin.stage,
        }
        for e in memory
    )
    vectors = np.asarray(encoder.encode([text_of(e) for e in made]))  # [made, dim]
    references = [e.origin.policy == "reference" for e in made]
    demonstrations = pd.DataFrame(
        {
            "key": e.key[:12],
            "problem_id": e.problem_id,
            "vector_finite": bool(np.isfinite(vector).all()),
            "reference_fails": is_reference and not e.verdict.passed,
        }
        for e, vector, is_reference in zip(made, vectors, references, strict=True)
    )
    facts = {"vector_sizes": len({len(v) for v in vectors}), "references": sum(references)}
    tables = {
        "memory": rows,
        "demonstrations": demonstrations,
        "facts": pd.DataFrame([facts]),
    }
    return validate("seed", tables, expectations(), docs=stage.docs)
