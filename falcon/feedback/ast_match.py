"""AST match: share of the reference's sub-trees found in a program (PPOCoder, CodeBLEU)."""

from __future__ import annotations

import ast

from falcon.feedback.analysis import parse


def _subtrees(tree: ast.AST, known: dict[tuple[object, ...], int]) -> list[int]:
    """A number for the shape (node types only) of every node with children, root included.

    Equal shapes get equal numbers through ``known``, so cost is linear in the tree.
    """
    shape: dict[int, int] = {}
    inner: list[int] = []
    stack: list[tuple[ast.AST, bool]] = [(tree, False)]
    while stack:
        node, ready = stack.pop()
        children = [c for c in ast.iter_child_nodes(node) if not isinstance(c, ast.expr_context)]
        if not ready:
            stack.append((node, True))
            stack += [(child, False) for child in children]
            continue
        form = (type(node).__name__, *(shape[id(child)] for child in children))
        shape[id(node)] = known.setdefault(form, len(known))
        if children:
            inner.append(shape[id(node)])
    return inner


def ast_match(program: str, reference: str) -> float:
    """Share in [0, 1] of the reference's sub-trees that occur in the program.

    Shapes are node types without names and values; one sub-tree of the program may match
    several of the reference. 0 when either text does not parse or the reference is empty.
    """
    mine, theirs = parse(program)[0], parse(reference)[0]
    if mine is None or theirs is None:
        return 0.0
    known: dict[tuple[object, ...], int] = {}
    have = set(_subtrees(mine, known))
    wanted = _subtrees(theirs, known)
    return sum(each in have for each in wanted) / len(wanted) if wanted else 0.0
