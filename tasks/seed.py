"""Seed: the long-term memory that a run starts with.

What the last published run left behind (``handover/memory``, when ``memory.carry_over``; the
most valuable ``memory.keep`` of it), without problems that are held out by now, and then the
demonstrations of this run.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.support import expectations as suites
from tasks.support.checks import validate
from tasks.support.stage import Stage, StageResult
from tasks.support.timed_encoder import TimedEncoder

if TYPE_CHECKING:
    from falcon.config import Settings
    from falcon.feedback.reward import Feedback
    from falcon.memory.encoder import Encoder
    from falcon.memory.experience import Experience
    from falcon.problems.problem import Problem
    from falcon.sandbox.verdict import Verdict


def open_memory(
    folder: Path,
    encoder: Encoder,
    state: Path,
    *,
    writable: bool = False,
    copy_of: Path | None = None,
    settings: Settings | None = None,
) -> Any:
    """A long-term memory with its index under ``state/index`` (shared by all stages).

    With ``copy_of`` the folder is made anew as a copy of that memory.
    """
    from falcon.memory import LongTermMemory

    index = state / "index" / "long_term"
    if copy_of is not None:
        shutil.rmtree(folder, ignore_errors=True)
        with LongTermMemory.open(copy_of, encoder, index=index) as source:
            source.copy_to(folder)
    return LongTermMemory.open(folder, encoder, writable=writable, index=index, settings=settings)


def has_memory(folder: Path) -> bool:
    """Whether a folder holds a memory (and not only its README)."""
    return any(folder.glob("*.jsonl"))


def carry(stage: Stage, encoder: Encoder, held_out: set[str], folder: Path) -> None:
    """Begin ``folder`` with what the last published run left, nothing of problems held out now."""
    source, settings = stage.space.handover / "memory", stage.settings.memory
    if settings.carry_over and has_memory(source):
        with open_memory(source, encoder, stage.space.state) as memory:
            memory.copy_to(folder, keep=settings.keep, without=held_out)


def body(stage: Stage) -> StageResult:
    """Writes ``memory/``, the log of the long-term memory."""
    from falcon.feedback import composite
    from falcon.memory import make_encoder
    from falcon.memory.seeding import demonstrations
    from falcon.problems import read_problems
    from falcon.problems.problem import HELD_OUT
    from falcon.sandbox import Program, Sandbox

    settings = stage.settings
    problems = read_problems(stage.space.output("prepare") / "problems.parquet")
    held_out = {p.id for p in problems if p.split in HELD_OUT}
    encoder = TimedEncoder(make_encoder(settings.memory.encoder))
    start = time.perf_counter()
    with Sandbox(settings) as sandbox:
        made = demonstrations(
            problems,
            lambda pairs: sandbox.judge_all([Program(code, suite) for code, suite in pairs]),
            _feedback(stage),
            n=settings.memory.demonstrations,
            rng=np.random.default_rng(settings.seed),
            score=lambda feedback: composite(feedback, settings.feedback),
        )
    judged = time.perf_counter() - start
    folder = stage.out / "memory"
    shutil.rmtree(folder, ignore_errors=True)
    carry(stage, encoder, held_out, folder)
    with open_memory(
        folder, encoder, stage.space.state, writable=True, settings=settings
    ) as memory:
        kept = len(memory)
        new = memory.append(made)
        report = _check(stage, memory, held_out, encoder, made)
        metrics = {
            "experiences": float(len(memory)),
            "carried_over": float(kept),
            "demonstrations": float(new),
            "time/execute": judged,
            "time/embed": encoder.seconds,
        }
        stage.run.tags({"memory.digest": memory.digest()})
    return StageResult(metrics, report)


def _feedback(stage: Stage) -> Any:
    from falcon.feedback.assess import assess_group
    from falcon.feedback.error_types import ERROR_TYPES
    from falcon.feedback.judges import make_judge

    settings = stage.settings.feedback
    judge = make_judge(settings)
    even = {name: 1 / len(ERROR_TYPES) for name in ERROR_TYPES}

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


def _check(
    stage: Stage, memory: Any, held_out: set[str], encoder: Encoder, made: list[Experience]
) -> Any:
    import pandas as pd

    from falcon.memory.text import text_of

    everything = list(memory)
    rows = pd.DataFrame(
        {
            "problem_id": e.problem_id,
            "split": e.split.value,
            "held_out": e.problem_id in held_out,
            "outcome": e.verdict.outcome.value,
            "score": e.score,
            "stage": e.origin.stage,
        }
        for e in everything
    )
    vectors = np.asarray(encoder.encode([text_of(e) for e in made]))
    references = [e for e in made if e.origin.policy == "reference"]
    facts = {
        "vectors_finite": bool(np.isfinite(vectors).all()),
        "vector_sizes": len({len(v) for v in vectors}),
        "demonstrations_passing": len(references),
        "references_pass": all(e.verdict.passed for e in references),
    }
    tables = {"memory": rows, "facts": pd.DataFrame([facts])}
    return validate("seed", tables, suites.seed(), docs=stage.docs)
