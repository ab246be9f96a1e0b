"""Nodes of a program's syntax tree in one flat list, walked once for all who ask."""

from __future__ import annotations

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
"""Fields that hold no node whatever the kind of the node they belong to."""
_ALSO_PLAIN = {
    ast.Constant: ("value",),
    ast.MatchSingleton: ("value",),
    ast.Global: ("names",),
    ast.Nonlocal: ("names",),
}


class Nodes(NamedTuple):
    """All nodes but contexts in the order of their fields: a node, then all that is below it.

    ``parents`` holds the place of each one's parent (-1 for the root), ``sizes`` the number of
    nodes of the part that begins there, itself included: ``nodes[i : i + sizes[i]]``.
    """

    nodes: tuple[ast.AST, ...]
    parents: tuple[int, ...]
    sizes: tuple[int, ...]


def _kinds(kind: type[ast.AST]) -> list[type[ast.AST]]:
    return [kind, *(below for each in kind.__subclasses__() for below in _kinds(each))]


def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    # An ExceptHandler's and a MatchAs's `name` are texts like any other.
    plain = _PLAIN.union(_ALSO_PLAIN.get(kind, ()))
    return tuple(name for name in kind._fields if name not in plain)


# Several fields are fetched as a tuple at once; of a single one there is nothing to gather.
_MANY = {k: attrgetter(*_fields(k)) for k in _kinds(ast.AST) if len(_fields(k)) > 1}
_ONE = {k: _fields(k)[0] for k in _kinds(ast.AST) if len(_fields(k)) == 1}


@lru_cache(maxsize=256)
def nodes_of(program: str) -> Nodes:
    """Nodes of a program; none for a text that does not parse. They are shared: read only.

    Depth is no concern.
    """
    tree = parse(program)[0]
    if tree is None:
        return Nodes((), (), ())
    nodes: list[ast.AST] = []
    parents: list[int] = []
    waiting: list[tuple[ast.AST, int]] = [(tree, -1)]
    take, later = waiting.pop, waiting.append
    while waiting:
        node, parent = take()
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
        for value in reversed(values):
            if type(value) is list:
                for each in reversed(value):
                    if each is not None:
                        later((each, at))
            elif value is not None:
                later((value, at))
    sizes = [1] * len(nodes)
    for at in range(len(nodes) - 1, 0, -1):
        sizes[parents[at]] += sizes[at]
    return Nodes(tuple(nodes), tuple(parents), tuple(sizes))


_SMALL = 64


def part_hashes(tokens: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """A hash of each part of a tree from those of its nodes; parts alike have equal ones.

    ``tokens`` are hashes of the nodes on their own, with their sizes; both in the order of
    :class:`Nodes`. Small parts are hashed as they stand, larger ones from those below them, so
    cost is linear whatever the depth.
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
            child += sizes[child]
        hashes[at] = hash(tuple(parts))
    return hashes
