"""Repeats: parts of a program that occur in it twice, ignoring layout."""

import ast
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from falcon.feedback.nodes import nodes_of, part_hashes

LEAST = 9
"""Nodes of the smallest part that counts, e.g. ``a.title().strip().replace(' ', '-')``."""


def _constant(node: ast.Constant) -> tuple[type, object]:
    return type(node.value), node.value  # 1, 1.0 and True have equal hashes


_WORD: dict[type[ast.AST], Callable[[Any], object]] = {
    ast.Name: attrgetter("id"),
    ast.Attribute: attrgetter("attr"),
    ast.Constant: _constant,
    ast.arg: attrgetter("arg"),
    ast.keyword: attrgetter("arg"),
    ast.alias: attrgetter("name"),
    ast.FunctionDef: attrgetter("name"),
    ast.AsyncFunctionDef: attrgetter("name"),
    ast.ClassDef: attrgetter("name"),
    ast.MatchAs: attrgetter("name"),
}


def repeats_in(program: str) -> int:
    """Number of parts of at least :data:`LEAST` nodes that already occur earlier in the program.

    Parts of a repeated part do not count again. 0 for a text that does not parse.
    """
    nodes, _, sizes = nodes_of(program)
    if len(nodes) < 2 * LEAST:
        return 0
    kinds = tuple(map(type, nodes))
    words = [_WORD[k](n) if k in _WORD else None for k, n in zip(kinds, nodes, strict=True)]
    hashes = part_hashes(tuple(map(hash, zip(kinds, sizes, words, strict=True))), sizes)
    earlier: set[int] = set()
    count, at = 0, 1
    while at < len(nodes):
        size = sizes[at]
        if size >= LEAST:
            if hashes[at] in earlier:
                count += 1
                at += size  # skip its sub-tree
                continue
            earlier.add(hashes[at])
        at += 1
    return count
