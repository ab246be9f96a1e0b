"""Nodes of a program's syntax tree in one flat list, made once for all that need it."""

import ast
from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from falcon.feedback.syntax import parse

_PLAIN = frozenset(
    (
        *("id", "ctx", "attr", "name", "asname", "module", "level", "kind", "type_comment"),
        *("arg", "simple", "is_async", "conversion", "rest", "kwd_attrs", "tag"),
    )
)
"""Names of fields that never hold a node, whatever the type of their node."""
_ALSO_PLAIN = {
    ast.Constant: ("value",),
    ast.MatchSingleton: ("value",),
    ast.Global: ("names",),
    ast.Nonlocal: ("names",),
}


class Nodes(NamedTuple):
    """All nodes except contexts in pre-order: a node, then everything below it.

    ``parents`` holds the index of each node's parent (-1 for the root), ``sizes`` the number of
    nodes of its sub-tree, itself included: the sub-tree of i is ``nodes[i : i + sizes[i]]``.
    """

    nodes: tuple[ast.AST, ...]
    parents: tuple[int, ...]
    sizes: tuple[int, ...]


def _kinds(kind: type[ast.AST]) -> list[type[ast.AST]]:
    return [kind, *(below for each in kind.__subclasses__() for below in _kinds(each))]


def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    plain = _PLAIN.union(_ALSO_PLAIN.get(kind, ()))
    return tuple(name for name in kind._fields if name not in plain)


# For speed, tables by node type instead of ast.iter_fields. attrgetter returns a tuple for several
# fields but a bare value for one, hence two tables.
_MANY = {k: attrgetter(*_fields(k)) for k in _kinds(ast.AST) if len(_fields(k)) > 1}
_ONE = {k: _fields(k)[0] for k in _kinds(ast.AST) if len(_fields(k)) == 1}


@lru_cache(maxsize=256)
def nodes_of(program: str) -> Nodes:
    """Nodes of a program; none for a text that does not parse. They are shared: read only."""
    tree = parse(program)[0]
    if tree is None:
        return Nodes((), (), ())
    nodes: list[ast.AST] = []
    parents: list[int] = []
    # A stack of our own instead of recursion: programs may be nested to any depth.
    stack: list[tuple[ast.AST, int]] = [(tree, -1)]
    pop, push = stack.pop, stack.append
    while stack:
        node, parent = pop()
        kind = type(node)
        at = len(nodes)
        nodes.append(node)
        parents.append(parent)
        if kind in _MANY:
            values = _MANY[kind](node)
        elif kind in _ONE:
            values = (getattr(node, _ONE[kind]),)
        else:
            continue
        for value in reversed(values):  # what is pushed last comes first
            if type(value) is list:
                for each in reversed(value):
                    if each is not None:
                        push((each, at))
            elif value is not None:
                push((value, at))
    sizes = [1] * len(nodes)
    for at in range(len(nodes) - 1, 0, -1):  # children follow parents, so their sizes are final
        sizes[parents[at]] += sizes[at]
    return Nodes(tuple(nodes), tuple(parents), tuple(sizes))


_SMALL = 64  # nodes up to which a part is hashed directly


def part_hashes(tokens: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """A hash of each sub-tree, made from those of its nodes; equal sub-trees have equal hashes.

    ``tokens`` are hashes of the single nodes (which must include their sizes), in the order of
    :class:`Nodes`. Small sub-trees are hashed as one slice, larger ones from the hashes of their
    children, so the cost is linear whatever the depth.
    """
    hashes = list(tokens)
    for at in range(len(tokens) - 1, -1, -1):
        size = sizes[at]
        if size == 1:
            continue
        if size <= _SMALL:
            hashes[at] = hash(tuple(tokens[at : at + size]))
            continue
        parts = [tokens[at]]
        child, end = at + 1, at + size
        while child < end:
            parts.append(hashes[child])
            child += sizes[child]  # the next sibling
        hashes[at] = hash(tuple(parts))
    return hashes
