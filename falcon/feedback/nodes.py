"""Nodes of a program's syntax tree in one flat list, walked once for all who ask."""

from __future__ import annotations

import ast
from functools import lru_cache

from falcon.feedback.syntax import parse

_CONTEXTS = (ast.Load, ast.Store, ast.Del)


@lru_cache(maxsize=256)
def nodes_of(program: str) -> tuple[tuple[ast.AST, ...], tuple[int, ...]]:
    """All nodes but contexts, parents before children and siblings in their order, and the
    place of each one's parent (-1 for the root). Empty for a text that does not parse; shared,
    so read only. Depth is no concern."""
    tree = parse(program)[0]
    if tree is None:
        return (), ()
    nodes: list[ast.AST] = [tree]
    parents = [-1]
    at = 0
    while at < len(nodes):
        node = nodes[at]
        for name in node._fields:
            value = getattr(node, name, None)
            if type(value) is list:
                children = [each for each in value if isinstance(each, ast.AST)]
                nodes += children
                parents += [at] * len(children)
            elif isinstance(value, ast.AST) and not isinstance(value, _CONTEXTS):
                nodes.append(value)
                parents.append(at)
        at += 1
    return tuple(nodes), tuple(parents)
