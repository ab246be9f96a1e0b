"""Settings, problems and attempts for the tests of training."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from falcon.config import FeedbackSettings, Settings
from falcon.feedback import assess_group, composite, make_judge
from falcon.generation.completion import Completion
from falcon.memory import HashEncoder, LongTermMemory, Origin
from falcon.memory.experience import Experience, TaskDetails
from falcon.monitor import Monitor, SilentMonitor
from falcon.policy.policy import Policy
from falcon.problems import Problem
from falcon.prompts.excerpt import Piece
from falcon.rollout import Attempt
from falcon.sandbox.verdict import CaseResult, ErrorInfo, Outcome, Verdict
from falcon.training import TrainingFolders, TrainResult, train

WORDS = ("add", "total", "double", "first", "count")


def overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    return base | {
        k: overlay(base[k], v) if isinstance(v, dict) and k in base else v for k, v in top.items()
    }


def make_settings(model: Path, **changes: Any) -> Settings:
    """Settings of a training that takes seconds."""
    base: dict[str, Any] = {
        "seed": 7,
        "policy": {
            "model": str(model),
            "dtype": "float32",
            "lora_rank": 4,
            "lora_alpha": 8.0,
            "max_prompt_tokens": 600,
        },
        "sampling": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 8, "batch_size": 16},
        "machine": {"workers": 1, "cache": False},
        "memory": {"top_k": 1, "min_similarity": -1, "recall_tokens": 300},
        "train": {
            "steps": 3,
            "micro_batch_tokens": 2048,
            "validate_every": 1,
            "validation_problems": 1,
            "meta": {
                "tasks": 2,
                "samples": 2,
                "evaluation_samples": 1,
                "long_batch": 1,
                "inner_lr": 0.1,
            },
        },
    }
    return Settings.model_validate(overlay(base, changes))


def make_problem(number: int, split: str = "train", **changes: Any) -> Problem:
    """Problem ``number``: add a number to another."""
    name = f"{WORDS[number % len(WORDS)]}_{number}"
    row: dict[str, Any] = {
        "id": f"builtin/{name}",
        "source": "builtin",
        "split": split,
        "difficulty": "introductory",
        "statement": f"Write `{name}(x)`, which adds {number} to x.",
        "entry_point": name,
        "tests": {
            "kind": "call",
            "entry_point": name,
            "calls": [{"args": [i], "expected": i + number} for i in range(3)],
        },
        "solutions": [f"def {name}(x):\n    return x + {number}\n"],
    }
    return Problem.model_validate(row | changes)


def verdict_of(kind: str, line: int = 0) -> Verdict:
    """ "pass", "2/3" (wrong answers), a Python error's name, or "fault"."""
    if kind == "pass":
        return Verdict(outcome=Outcome.PASS, cases=(CaseResult(outcome=Outcome.PASS),) * 3)
    if kind == "fault":
        return Verdict(outcome=Outcome.SANDBOX_ERROR, detail="broken")
    if "/" in kind:
        good, of = map(int, kind.split("/"))
        cases = (CaseResult(outcome=Outcome.PASS),) * good
        cases += (CaseResult(outcome=Outcome.WRONG_ANSWER),) * (of - good)
        return Verdict(outcome=Outcome.WRONG_ANSWER, cases=cases)
    outcome = Outcome.SYNTAX_ERROR if kind == "SyntaxError" else Outcome.RUNTIME_ERROR
    error = ErrorInfo(type=kind, line=line, message=f"{kind} here")
    case = CaseResult(outcome=outcome, error=error)
    return Verdict(outcome=outcome, error=error, cases=(case,) * 3)


def attempts_of(
    policy: Policy,
    rows: list[tuple[str, str, int]],
    settings: FeedbackSettings | None = None,
    share: dict[str, float] | None = None,
    before: str = "",
) -> list[Attempt]:
    """Attempts at one problem from (program, kind of verdict, error line); ``before`` is talk."""
    settings = settings or FeedbackSettings()
    problem = make_problem(0)
    programs = [program for program, _, _ in rows]
    verdicts = [verdict_of(kind, line) for _, kind, line in rows]
    feedback = assess_group(
        programs,
        verdicts,
        settings=settings,
        judge=make_judge(settings),
        error_share=share or {"name": 0.5, "index": 0.5},
    )
    attempts = []
    for i, (program, verdict, assessed) in enumerate(
        zip(programs, verdicts, feedback, strict=True)
    ):
        ids = tuple(policy.encode(before + program))
        completion = Completion(ids, before + program, "end", policy.tokenizer.eos_token_id)
        attempts.append(
            Attempt(
                problem,
                i,
                (5, 6, 7),
                completion,
                program,
                (Piece(0, len(before), len(program)),),
                "test-1",
                verdict,
                assessed,
                composite(verdict, assessed, settings),
            )
        )
    return attempts


PROBLEMS = (
    make_problem(1),
    make_problem(2, "demo"),
    make_problem(3),
    make_problem(4, "valid"),
    make_problem(5, "test"),
)


def demonstration(problem: Problem) -> Experience:
    """The reference solution of a problem as an experience."""
    settings, program, verdict = FeedbackSettings(), problem.solutions[0], verdict_of("pass")
    (feedback,) = assess_group(
        [program], [verdict], settings=settings, judge=make_judge(settings), error_share={}
    )
    return Experience(
        problem_id=problem.id,
        split=problem.split,
        task=problem.statement,
        asked=TaskDetails.of(problem),
        program=program,
        verdict=verdict,
        feedback=feedback,
        score=composite(verdict, feedback, settings),
        origin=Origin(stage="seed"),
    )


def run_training(
    root: Path,
    settings: Settings,
    *,
    problems: Sequence[Problem] = PROBLEMS,
    monitor: Monitor | None = None,
    run_id: str = "",
    checkpoints: Path | None = None,
    start: Path | None = None,
) -> tuple[TrainResult, list[Experience]]:
    """Train as the stage does: the memory starts anew, checkpoints found in ``root`` count."""
    import torch

    torch.set_num_threads(1)
    shutil.rmtree(root / "memory", ignore_errors=True)
    with LongTermMemory.open(root / "memory", HashEncoder(), writable=True) as memory:
        memory.append([demonstration(p) for p in PROBLEMS[:2]])
        result = train(
            settings,
            problems,
            memory=memory,
            folders=TrainingFolders(root / "out", checkpoints or root / "checkpoints", start),
            monitor=monitor or SilentMonitor(),
            run_id=run_id,
        )
        return result, list(memory)
