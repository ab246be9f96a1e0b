"""Data-flow match: share of the reference's data-flow edges found in a program.

As in PPOCoder and CodeBLEU: an edge says that a variable comes from (is set to, or read
from) or is computed from other variables; variables are renamed by first use. The order
is the order of the text; branches are not told apart.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from falcon.feedback.nodes import nodes_of

Edge = tuple[str, str, tuple[str, ...]]
"""Variable, relation (``comes_from`` or ``computed_from``), sources; names normalised."""


def _names(node: ast.AST | None, context: type[ast.expr_context]) -> list[str]:
    if node is None:
        return []
    found = [n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, context)]
    return [n.id for n in sorted(found, key=lambda n: (n.lineno, n.col_offset))]


def _flows(node: ast.AST) -> Iterator[tuple[list[str], list[str], bool]]:
    """(targets, sources, plain copy?) of one node."""
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _assigned(target, value)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            yield from _assigned(target, value)
        case ast.NamedExpr(target=target, value=value):
            yield from _assigned(target, value)
        case ast.AugAssign(target=ast.Name(id=name), value=value):
            yield [name], [name, *_names(value, ast.Load)], False
        case ast.For(target=target, iter=source) | ast.comprehension(target=target, iter=source):
            yield _names(target, ast.Store), _names(source, ast.Load), False
        case ast.withitem(context_expr=source, optional_vars=ast.expr() as target):
            yield _names(target, ast.Store), _names(source, ast.Load), False


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[tuple[list[str], list[str], bool]]:
    pairs: list[tuple[ast.expr, ast.expr]] = [(target, value)]
    if (
        isinstance(target, ast.Tuple)
        and isinstance(value, ast.Tuple)
        and len(target.elts) == len(value.elts)
    ):
        pairs = list(zip(target.elts, value.elts, strict=True))
    for left, right in pairs:
        yield _names(left, ast.Store), _names(right, ast.Load), isinstance(right, ast.Name)


@lru_cache(maxsize=512)
def data_flow(program: str) -> tuple[Edge, ...]:
    """Edges of a program in the order of its text; none when it does not parse."""
    renamed: dict[str, str] = {}
    placed: list[tuple[tuple[int, int], str, str, tuple[str, ...]]] = []
    nodes = nodes_of(program)[0]
    names = [n for n in nodes if isinstance(n, ast.Name)]
    defined = {n.arg for n in nodes if isinstance(n, ast.arg)}
    defined |= {n.id for n in names if isinstance(n.ctx, ast.Store)}
    for name in names:
        if name.id in defined and isinstance(name.ctx, ast.Load):
            placed.append(((name.lineno, name.col_offset), name.id, "comes_from", (name.id,)))
    for node in nodes:
        for targets, sources, copied in _flows(node):
            # A comprehension or with item has no position of its own; its target has.
            at: Any = getattr(node, "target", None) or getattr(node, "optional_vars", None) or node
            relation = "comes_from" if copied else "computed_from"
            kept = tuple(name for name in sources if name in defined)
            position = (at.lineno, at.col_offset)
            placed += [(position, target, relation, kept) for target in targets]
    edges: list[Edge] = []
    for _, variable, relation, origins in sorted(placed):
        new = [renamed.setdefault(n, f"var_{len(renamed)}") for n in (variable, *origins)]
        edges.append((new[0], relation, tuple(new[1:])))
    return tuple(edges)


def dataflow_match(program: str, reference: str) -> float:
    """Share in [0, 1] of the reference's edges matched one to one by the program's.

    0 when the reference has none, or either text does not parse.
    """
    wanted = Counter(data_flow(reference))
    if not wanted:
        return 0.0
    return (wanted & Counter(data_flow(program))).total() / wanted.total()
