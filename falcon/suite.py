"""Tests of a problem as data: cases to call, text to feed, or trusted test code.

``falcon.problems`` reads them and ``falcon.sandbox`` judges by them; because both import this
file, neither has to import the other. It only validates.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Call(_Frozen):
    """One call of the entry point and the value it must return."""

    args: tuple[Any, ...] = ()
    expected: Any = None


class Run(_Frozen):
    """One run of a program: the text on standard input and the text expected back."""

    stdin: str = ""
    expected: str = ""


Rule = Literal[
    "value",
    "evalplus",
    "evalplus:any",
    "evalplus:zero",
    "evalplus:pyramid",
    "evalplus:digits",
    "evalplus:set",
    "evalplus:not-none",
    "evalplus:root",
    "apps",
    "apps:strict",
]
"""How a returned value is compared: FALCON's own rule, EvalPlus's with its exceptions for
single tasks, or that of APPS (files of these names in ``falcon/sandbox/worker/compare``). For
rewards that is strict: the first item of a list does not stand for the list."""

TextRule = Literal["lines", "apps", "apps:unordered", "apps:strict"]
"""How printed text is compared: FALCON's own rule, or that of APPS without and with its last
step, which ignores the order of lines and tokens. ``apps:strict``, for rewards, is FALCON's own
rule but that empty lines count for nothing; programs may return at their top level, as in APPS."""


class CallSuite(_Frozen):
    """Calls of ``entry_point`` (a function, or ``Class().method``) compared by value.

    ``atol`` loosens float comparison. With ``reference``, a program, the values it returns are
    the expected ones, and ``Call.expected`` is not used: EvalPlus ships inputs and a solution.
    By the rules of APPS the entry point is a method of ``Solution`` where there is such a class.
    ``prelude`` is code that runs before the program, in its process: imports.
    """

    kind: Literal["call"] = "call"
    entry_point: str
    calls: tuple[Call, ...] = Field(min_length=1)
    atol: float = 0.0
    rule: Rule = "value"
    reference: str = ""
    prelude: str = ""


class StdinSuite(_Frozen):
    """Runs of a whole program compared by what it prints. ``prelude`` runs before it."""

    kind: Literal["stdin"] = "stdin"
    runs: tuple[Run, ...] = Field(min_length=1)
    rule: TextRule = "lines"
    prelude: str = ""


class CodeSuite(_Frozen):
    """Trusted Python test code, as benchmarks ship it.

    Either ``asserts`` (statements, one test each; MBPP) or ``check`` (code that defines
    ``check(candidate)``; HumanEval). ``setup`` runs before them, on the trusted side.
    ``prelude`` runs before the program, in its process. The entry point may be
    ``Class().method``.
    """

    kind: Literal["code"] = "code"
    entry_point: str = ""
    asserts: tuple[str, ...] = ()
    check: str = ""
    setup: str = ""
    prelude: str = ""

    @model_validator(mode="after")
    def _one_form(self) -> CodeSuite:
        if bool(self.asserts) == bool(self.check):
            raise ValueError("a code suite has either `asserts` or `check`, and not both")
        if self.check and not self.entry_point:
            raise ValueError("`check` needs `entry_point`")
        return self


Suite = Annotated[CallSuite | StdinSuite | CodeSuite, Field(discriminator="kind")]
"""Any of the three forms; pydantic tells them apart by ``kind``."""
