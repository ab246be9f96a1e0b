"""Verdict: what one program did with its tests.

Three kinds of ending, never two: the program passed, the program failed (and how), or we
failed (``sandbox_error``), which is never a reward.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Outcome(StrEnum):
    """How a program, or one of its tests, ended."""

    PASS = "pass"
    WRONG_ANSWER = "wrong_answer"
    UNSERIALISABLE = "unserialisable_result"
    PREMATURE_EXIT = "premature_exit"
    PROTOCOL_VIOLATION = "protocol_violation"
    RUNTIME_ERROR = "runtime_error"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT_LIMIT = "output_limit"
    SIGNAL = "signal"
    SYNTAX_ERROR = "syntax_error"
    SANDBOX_ERROR = "sandbox_error"

    @property
    def coarse(self) -> Literal["pass", "failure", "runtime", "syntax", "fault"]:
        """The four classes of eq. 7, and ``fault`` for our own failures."""
        match self:
            case Outcome.PASS:
                return "pass"
            case Outcome.WRONG_ANSWER | Outcome.UNSERIALISABLE | Outcome.PROTOCOL_VIOLATION:
                return "failure"
            case Outcome.SYNTAX_ERROR:
                return "syntax"
            case Outcome.SANDBOX_ERROR:
                return "fault"
            case _:
                return "runtime"


class ErrorInfo(BaseModel):
    """Where and how a program failed, as the untrusted side reported it (escaped, bounded).

    ``line`` counts from 1 in the program's own source; 0 when unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    line: int = 0
    message: str = ""


class CaseResult(BaseModel):
    """The ending of one test. ``lines`` of the program ran for it, loading included, as the
    program's own process says; None when no trace was asked for or its process died."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Outcome
    error: ErrorInfo | None = None
    lines: tuple[int, ...] | None = None


class Verdict(BaseModel):
    """The ending of one program over all its tests.

    ``outcome`` is the worst of the cases (syntax error first, pass last). ``cpu_s`` and
    ``wall_s`` are seconds. ``isolation`` names the level it ran at ("L3" ... "L1");
    ``integrity`` is "in_process" where expected values had to share the program's process.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Outcome
    error: ErrorInfo | None = None
    cases: tuple[CaseResult, ...] = ()
    cpu_s: float = 0.0
    wall_s: float = 0.0
    isolation: str = ""
    integrity: Literal["split", "in_process"] = "split"
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether every test passed."""
        return self.outcome is Outcome.PASS

    @property
    def n_pass(self) -> int:
        """Tests passed (N_pass of eq. 8)."""
        return sum(case.outcome is Outcome.PASS for case in self.cases)

    @property
    def n_fail(self) -> int:
        """Tests not passed (N_fail of eq. 8)."""
        return len(self.cases) - self.n_pass
