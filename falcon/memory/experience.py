"""Experience: the tuple (D, W, T, F) of the paper's problem setting, with its origin."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from falcon.feedback.reward import Feedback
from falcon.memory.canonical import canonical_program
from falcon.memory.migration import SCHEMA, upgraded
from falcon.problems.problem import Difficulty, Problem, Split, no_tests
from falcon.sandbox.verdict import Verdict


class Origin(BaseModel):
    """Where an experience came from: stage, run and step, which policy wrote the program, when.

    ``time`` is UTC as ISO 8601. The stages of the pipeline leave ``run`` and ``time`` empty, so
    that equal runs write equal bytes; their MLflow run carries the memory's digest instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    run: str = ""
    step: int = 0
    policy: str = ""
    time: str = ""


class TaskDetails(BaseModel):
    """What a prompt gives of a task D beside its statement: see the fields of ``Problem``.

    Empty in experiences of schemas before 3, which did not store it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    entry_point: str = ""
    starter: str = ""
    examples: str = ""
    stdin: bool = False

    @classmethod
    def of(cls, problem: Problem) -> TaskDetails:
        """The details of a problem."""
        return cls(
            entry_point=problem.entry_point,
            starter=problem.starter,
            examples=problem.examples,
            stdin=problem.uses_stdin,
        )


class Experience(BaseModel):
    """One program W for a problem D, the outcome of its tests T and the feedback F on it.

    Measured seconds and traced lines of the verdict are dropped: equal samples then give equal
    bytes, and the digest of a memory does not depend on the machine. A record of an earlier
    schema is migrated when it is read; one of a later schema is refused (ValueError).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA
    problem_id: str
    split: Split
    task: str
    asked: TaskDetails = TaskDetails()
    program: str
    verdict: Verdict
    feedback: Feedback
    score: float
    origin: Origin

    @model_validator(mode="before")
    @classmethod
    def _of_this_schema(cls, data: Any) -> Any:
        return upgraded(data) if isinstance(data, dict) else data

    @field_validator("verdict")
    @classmethod
    def _without_measurements(cls, verdict: Verdict) -> Verdict:
        cases = verdict.cases
        if any(case.lines is not None for case in cases):
            cases = tuple(case.model_copy(update={"lines": None}) for case in cases)
        elif not (verdict.cpu_s or verdict.wall_s):
            return verdict
        return verdict.model_copy(update={"cpu_s": 0.0, "wall_s": 0.0, "cases": cases})

    @property
    def key(self) -> str:
        """Identity for deduplication: problem and canonical form of the program (32 hex digits)."""
        # Ids hold no NUL, so different pairs give different texts.
        text = f"{self.problem_id}\0{canonical_program(self.program)}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def problem(self) -> Problem:
        """The task as the model got it; its tests are not stored (:func:`no_tests`)."""
        return Problem(
            id=self.problem_id,
            source=self.problem_id.partition("/")[0],
            split=self.split,
            difficulty=Difficulty.INTRODUCTORY,
            statement=self.task,
            tests=no_tests(stdin=self.asked.stdin),
            **self.asked.model_dump(exclude={"stdin"}),
        )
