"""What the trainer asks of a worker: a program and its tests, as records."""

from __future__ import annotations

import ast
import builtins
from typing import Any, NamedTuple


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


class JudgeRequest(NamedTuple):
    """One program and its tests, as the trainer sends them."""

    code: str
    tests: CallTests | StdinTests | CodeTests
    trace: bool = False

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> JudgeRequest:
        """A request as JSON gives it. It comes from the trainer: not checked."""
        fields = dict(raw["suite"])
        kind = {"call": CallTests, "stdin": StdinTests, "code": CodeTests}[fields.pop("kind")]
        if kind is CodeTests:  # it is the key of what is kept of a suite
            fields["asserts"] = tuple(fields["asserts"])
        return cls(raw["code"], kind(**fields), raw.get("trace", False))


def free_names(source: str) -> set[str]:
    """Names that test code takes from the program: it reads them, and neither it nor Python
    defines them."""
    read: set[str] = set()
    bound = set(dir(builtins))
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
    return read - bound
