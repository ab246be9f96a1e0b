"""Data-flow match: share of the reference's data-flow edges found in a program.

As in PPOCoder and CodeBLEU: an edge says that a variable comes from (is set to, or read from) or
is computed from other variables; variables are renamed by first use. Edges are in the order of
the text; branches are ignored.
"""

import ast
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any, cast

from falcon.feedback.nodes import nodes_of

Edge = tuple[str, str, tuple[str, ...]]
"""Variable, relation (``comes_from`` or ``computed_from``), sources; names normalised."""
_STORED, _LOADED = True, False


class _Names:
    """Names in parts of one program, in the order of its text."""

    def __init__(self, program: str) -> None:
        self.nodes, _, self._sizes = nodes_of(program)
        self._place = {id(node): at for at, node in enumerate(self.nodes)}

    def of(self, part: ast.AST, stored: bool) -> list[str]:
        """Names that the part sets, or those that it reads."""
        if type(part) is ast.Name:
            return [part.id] if (type(part.ctx) is ast.Store) == stored else []
        at = self._place[id(part)]
        context = ast.Store if stored else ast.Load
        names = [  # the nodes of a part are contiguous: see `Nodes`
            node
            for node in self.nodes[at + 1 : at + self._sizes[at]]
            if type(node) is ast.Name and type(node.ctx) is context
        ]
        if len(names) > 1:
            names.sort(key=_position)  # fields are not in text order (`x if test else y`)
        return [node.id for node in names]


_position = attrgetter("lineno", "col_offset")
Flow = tuple[list[str], list[str], bool]
"""Targets, sources, and whether it is a plain copy."""


def _assign(node: ast.Assign, names: _Names) -> list[Flow]:
    return [flow for target in node.targets for flow in _assigned(target, node.value, names)]


def _annotated(node: ast.AnnAssign | ast.NamedExpr, names: _Names) -> list[Flow]:
    return _assigned(node.target, node.value, names) if node.value is not None else []


def _augmented(node: ast.AugAssign, names: _Names) -> list[Flow]:
    if not isinstance(node.target, ast.Name):
        return []
    name = node.target.id
    return [([name], [name, *names.of(node.value, _LOADED)], False)]


def _looped(node: ast.For | ast.comprehension, names: _Names) -> list[Flow]:
    return [(names.of(node.target, _STORED), names.of(node.iter, _LOADED), False)]


def _entered(node: ast.withitem, names: _Names) -> list[Flow]:
    if node.optional_vars is None:
        return []
    return [(names.of(node.optional_vars, _STORED), names.of(node.context_expr, _LOADED), False)]


def _assigned(target: ast.expr, value: ast.expr, names: _Names) -> list[Flow]:
    pairs: list[tuple[ast.expr, ast.expr]] = [(target, value)]
    if (
        isinstance(target, ast.Tuple)
        and isinstance(value, ast.Tuple)
        and len(target.elts) == len(value.elts)
    ):
        pairs = list(zip(target.elts, value.elts, strict=True))  # `a, b = b, a` is two edges
    return [
        (names.of(left, _STORED), names.of(right, _LOADED), isinstance(right, ast.Name))
        for left, right in pairs
    ]


_FLOWS: dict[type[ast.AST], Callable[[Any, _Names], list[Flow]]] = {
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.NamedExpr: _annotated,
    ast.AugAssign: _augmented,
    ast.For: _looped,
    ast.comprehension: _looped,
    ast.withitem: _entered,
}
"""The function that lists the flows of a node, by the node's type."""


@lru_cache(maxsize=512)
def data_flow(program: str) -> tuple[Edge, ...]:
    """Edges of a program in the order of its text; none when it does not parse."""
    names = _Names(program)
    placed: list[tuple[tuple[int, int], str, str, tuple[str, ...]]] = []
    defined: set[str] = set()
    read: list[ast.Name] = []
    flowing: list[ast.AST] = []
    for node in names.nodes:
        kind = type(node)
        if kind is ast.Name:
            name = cast("ast.Name", node)
            if type(name.ctx) is ast.Load:
                read.append(name)
            elif type(name.ctx) is ast.Store:
                defined.add(name.id)
        elif kind is ast.arg:
            defined.add(cast("ast.arg", node).arg)
        elif kind in _FLOWS:
            flowing.append(node)
    # A name that the program never sets (a built-in, an import) is no variable.
    placed += [(_position(n), n.id, "comes_from", (n.id,)) for n in read if n.id in defined]
    for node in flowing:
        # A comprehension or with item has no position of its own; its target has.
        at = getattr(node, "target", None) or getattr(node, "optional_vars", None) or node
        for targets, sources, copied in _FLOWS[type(node)](node, names):
            relation = "comes_from" if copied else "computed_from"
            kept = tuple(name for name in sources if name in defined)
            placed += [(_position(at), target, relation, kept) for target in targets]
    placed.sort()
    renamed: dict[str, str] = {}
    edges: list[Edge] = []
    for _, variable, relation, origins in placed:
        # `len(renamed)` is taken before the insertion: var_0, var_1, ... by first use.
        new = [renamed.setdefault(n, f"var_{len(renamed)}") for n in (variable, *origins)]
        edges.append((new[0], relation, tuple(new[1:])))
    return tuple(edges)


def dataflow_match(program: str, reference: str) -> float:
    """Share in [0, 1] of the reference's edges matched one to one by the program's.

    0 when the reference has none, or either text does not parse.
    """
    expected = Counter(data_flow(reference))
    if not expected:
        return 0.0
    return (expected & Counter(data_flow(program))).total() / expected.total()
