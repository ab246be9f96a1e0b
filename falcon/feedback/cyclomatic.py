"""McCabe's cyclomatic complexity, counted as radon counts it but within asserts, where it looks too.

One is added for each `if` (also as an expression and in a comprehension), loop, `else` of a loop
or a `try`, handler, case but the last that takes anything, assert, and further operand of
`and` or `or`. A function defined in another is one of its own. The tests hold it against radon,
whose walk of its own took as long as a third of all rewards.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from falcon.feedback.nodes import nodes_of

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _one(node: Any) -> int:
    return 1


def _loop(node: Any) -> int:
    return 1 + bool(node.orelse)


def _try(node: Any) -> int:
    return len(node.handlers) + bool(node.orelse)


def _match(node: ast.Match) -> int:
    open_ended = any(getattr(case.pattern, "pattern", False) is None for case in node.cases)
    return max(0, len(node.cases) - open_ended)


_BRANCHES: dict[type[ast.AST], Callable[[Any], int]] = {
    ast.If: _one,
    ast.IfExp: _one,
    ast.Assert: _one,
    ast.For: _loop,
    ast.AsyncFor: _loop,
    ast.While: _loop,
    ast.Try: _try,
    ast.Match: _match,
    ast.BoolOp: lambda node: len(node.values) - 1,
    ast.comprehension: lambda node: 1 + len(node.ifs),
}
if hasattr(ast, "TryStar"):
    _BRANCHES[ast.TryStar] = _try


def cyclomatic_of(program: str) -> int:
    """Complexity of the most complex function, or of the code outside of functions; at least 1."""
    nodes, parents = nodes_of(program)
    owner = [0] * len(nodes)  # the function a node is in; 0, the module
    counts = {0: 1}
    for at, node in enumerate(nodes):
        if at:
            owner[at] = owner[parents[at]]
        if isinstance(node, _FUNCTIONS):
            owner[at] = at
            counts[at] = 1
            continue
        branches = _BRANCHES.get(type(node))
        if branches is not None:
            counts[owner[at]] += branches(node)
    return max(counts.values())
