"""Experience: the tuple (D, W, T, F) of the paper's problem setting, with its origin."""

from __future__ import annotations

import hashlib

from pydantic import BaseModel, ConfigDict, field_validator

from falcon.feedback.reward import Feedback
from falcon.problems.problem import Split
from falcon.sandbox.verdict import Verdict

SCHEMA = 1
"""Version of the stored form. A reader refuses a greater one."""


class Origin(BaseModel):
    """Where an experience came from: stage and step, and which policy wrote the program."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    run: str = ""
    step: int = 0
    policy: str = ""


class Experience(BaseModel):
    """One program W for a problem D, the outcome of its tests T and the feedback F on it.

    Measured seconds of the verdict are left out, so that the same samples are the same bytes
    and a memory's digest tells memories apart, not machines.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA
    problem_id: str
    split: Split
    task: str
    program: str
    verdict: Verdict
    feedback: Feedback
    score: float
    origin: Origin

    @field_validator("verdict")
    @classmethod
    def _without_times(cls, verdict: Verdict) -> Verdict:
        return verdict.model_copy(update={"cpu_s": 0.0, "wall_s": 0.0})

    @property
    def key(self) -> str:
        """Identity for deduplication: problem and program (sha256, 32 hex digits)."""
        text = f"{self.problem_id}\0{self.program.strip()}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
