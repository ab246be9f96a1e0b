"""How a test ended: the outcome, the error, and the lines of the program that ran for it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal, NamedTuple


class Outcome(StrEnum):
    """How a program, or one of its tests, ended. From best to worst: the worst test decides."""

    PASS = "pass"
    WRONG_ANSWER = "wrong_answer"
    UNSERIALISABLE = "unserialisable_result"
    PROTOCOL_VIOLATION = "protocol_violation"
    RUNTIME_ERROR = "runtime_error"
    PREMATURE_EXIT = "premature_exit"
    OUTPUT_LIMIT = "output_limit"
    TIMEOUT = "timeout"
    MEMORY = "memory"
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


class ErrorReport(NamedTuple):
    """An error: its type, its line in the program (0: unknown), its message."""

    type: str
    line: int = 0
    message: str = ""


class Ending(NamedTuple):
    """The ending of one test. ``lines``: those that ran for it, sorted; None without a trace."""

    outcome: Outcome
    error: ErrorReport | None = None
    lines: list[int] | None = None

    @classmethod
    def from_list(cls, raw: list[Any]) -> Ending:
        """An ending as JSON gives it back: a list."""
        outcome, error, lines = raw
        return cls(Outcome(outcome), error and ErrorReport(*error), lines)

    def as_dict(self) -> dict[str, Any]:
        """As the trainer reads it."""
        fields = {"outcome": self.outcome, "error": self.error and self.error._asdict()}
        return fields if self.lines is None else {**fields, "lines": self.lines}
