"""Repeats: parts of a program that stand in it twice, word for word but for the layout."""

from __future__ import annotations

import ast
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from falcon.feedback.nodes import nodes_of, part_hashes

LEAST = 9
"""Nodes of the smallest part that counts, as of ``a.title().strip().replace(' ', '-')``."""


def _constant(node: ast.Constant) -> tuple[type, object]:
    return type(node.value), node.value


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
    """How many parts of at least :data:`LEAST` nodes stand earlier in the program already.

    A part within a repeated part is not counted again. 0 for a text that does not parse.
    """
    nodes, _, sizes = nodes_of(program)
    if len(nodes) < 2 * LEAST:
        return 0
    kinds = tuple(map(type, nodes))
    words = [_WORD[k](n) if k in _WORD else None for k, n in zip(kinds, nodes, strict=True)]
    hashes = part_hashes(tuple(map(hash, zip(kinds, sizes, words, strict=True))), sizes)
    seen: set[int] = set()
    found, at = 0, 1
    while at < len(nodes):
        size = sizes[at]
        if size >= LEAST:
            if hashes[at] in seen:
                found += 1
                at += size
                continue
            seen.add(hashes[at])
        at += 1
    return found
