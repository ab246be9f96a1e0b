"""Verdict: what one program did with its tests.

Three kinds of ending, never two: the program passed, the program failed (and how), or we
failed (``sandbox_error``), which is never a reward.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from falcon.sandbox.wire.records import Outcome

__all__ = ["CaseResult", "ErrorInfo", "Outcome", "Verdict"]


class ErrorInfo(BaseModel):
    """Where and how a program failed, as its own process reports it (escaped, bounded).

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

    ``outcome`` is the worst of the cases (a broken protocol first, pass last). ``cpu_s`` and
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
    def tampered(self) -> bool:
        """Whether the program attacked what judges it: it earns the least there is."""
        return self.outcome is Outcome.PROTOCOL_VIOLATION

    @property
    def n_pass(self) -> int:
        """Tests passed (N_pass of eq. 8)."""
        return sum(case.outcome is Outcome.PASS for case in self.cases)

    @property
    def n_fail(self) -> int:
        """Tests not passed (N_fail of eq. 8)."""
        return len(self.cases) - self.n_pass
