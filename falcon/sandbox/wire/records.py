"""Records: a program and its tests, as the trainer sends them, and how each test ended."""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Collection
from enum import StrEnum
from typing import Any, Literal, NamedTuple


class CallTests(NamedTuple):
    """A CallSuite."""

    entry_point: str
    calls: list[tuple[str, str]]  # encoded arguments and expected value
    atol: float
    rule: str
    reference: str
    prelude: str


class StdinTests(NamedTuple):
    """A StdinSuite."""

    runs: list[tuple[str, str]]  # standard input and expected output
    rule: str
    prelude: str


class CodeTests(NamedTuple):
    """A CodeSuite."""

    entry_point: str
    asserts: tuple[str, ...]
    check: str
    setup: str
    prelude: str


Tests = CallTests | StdinTests | CodeTests


class JudgeRequest(NamedTuple):
    """One program and its tests, as the trainer sends them."""

    code: str
    tests: Tests
    trace: bool = False

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> JudgeRequest:
        """A request as JSON gives it. It comes from the trainer: not checked."""
        fields = dict(raw["suite"])
        kind = {"call": CallTests, "stdin": StdinTests, "code": CodeTests}[fields.pop("kind")]
        if kind is CodeTests:  # it is the key of what is kept of a suite
            fields["asserts"] = tuple(fields["asserts"])
        return cls(raw["code"], kind(**fields), raw.get("trace", False))


class Outcome(StrEnum):
    """How a program, or one of its tests, ended. From best to worst: the worst test decides.

    A broken protocol is the worst of all, so that nothing else that a program does, not even a
    fault of ours, hides it.
    """

    PASS = "pass"
    WRONG_ANSWER = "wrong_answer"
    UNSERIALISABLE = "unserialisable_result"
    RUNTIME_ERROR = "runtime_error"
    PREMATURE_EXIT = "premature_exit"
    OUTPUT_LIMIT = "output_limit"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    SIGNAL = "signal"
    SYNTAX_ERROR = "syntax_error"
    SANDBOX_ERROR = "sandbox_error"
    PROTOCOL_VIOLATION = "protocol_violation"

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

    @property
    def severity(self) -> int:
        """Its place from best to worst."""
        return _SEVERITY[self]


_SEVERITY = {outcome: place for place, outcome in enumerate(Outcome)}


BROKEN = "Broken"
"""Type of the error of a program with which a process of ours died each time."""


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

    def worse(self, other: Ending | None) -> Ending:
        """This one, or ``other`` where that is at least as bad."""
        if other is None or self.outcome.severity > other.outcome.severity:
            return self
        return other

    def as_dict(self) -> dict[str, Any]:
        """As the trainer reads it."""
        fields = {"outcome": self.outcome, "error": self.error and self.error._asdict()}
        return fields if self.lines is None else {**fields, "lines": self.lines}


PURE = frozenset(
    ("abs", "all", "any", "bool", "float", "frozenset", "int", "len", "list", "max", "min", "round",
     "set", "sorted", "str", "sum", "tuple")
)  # fmt: skip
"""Builtins whose value depends on their arguments alone."""


def free_names(source: str) -> set[str]:
    """Names that test code takes from the program: it reads them, and neither its module nor
    Python defines them. A parameter or a local of the same name defines nothing elsewhere."""
    read, bound = set(), set(dir(builtins)) | {"__file__"}
    tables = [symtable.symtable(source, "<tests>", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (top or symbol.is_global()):
                read.add(symbol.get_name())
            made = symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
            if made and (top or symbol.is_declared_global()):
                bound.add(symbol.get_name())
    return read - bound


def builtin_names(source: str) -> set[str]:
    """Names of Python's own that test code reads and does not define itself."""
    read, bound = _names(source)
    return read & set(dir(builtins)) - bound


def tests_nothing(node: ast.Assert, taken: Collection[str]) -> bool:
    """Whether an assert reads constants alone, and maybe builtins that are not ``taken``: no
    program can change how it ends."""
    names = (each.id for each in ast.walk(node.test) if isinstance(each, ast.Name))
    return all(name in PURE and name not in taken for name in names)


def bound_names(source: str) -> set[str]:
    """Names that test code defines, anywhere in it."""
    return _names(source)[1]


def _names(source: str) -> tuple[set[str], set[str]]:
    """Names that code reads, and those that it defines."""
    read: set[str] = set()
    bound: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return read, bound
