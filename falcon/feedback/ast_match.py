"""AST match: share of the reference's sub-trees found in a program (PPOCoder, CodeBLEU)."""

from __future__ import annotations

from functools import lru_cache

from falcon.feedback.nodes import nodes_of, part_hashes


@lru_cache(maxsize=512)
def _subtrees(program: str) -> tuple[int, ...]:
    """A hash of the shape (node types only) of every node with children, root included."""
    nodes, _, sizes = nodes_of(program)
    # With the size of each part, the order of its nodes says how they hang together.
    shapes = part_hashes(tuple(map(hash, zip(map(type, nodes), sizes, strict=True))), sizes)
    return tuple(shape for shape, size in zip(shapes, sizes, strict=True) if size > 1)


def ast_match(program: str, reference: str) -> float:
    """Share in [0, 1] of the reference's sub-trees that occur in the program.

    Shapes are node types without names and values; one sub-tree of the program may match
    several of the reference. 0 when either text does not parse or the reference is empty.
    """
    wanted = _subtrees(reference)
    have = set(_subtrees(program))
    return sum(each in have for each in wanted) / len(wanted) if wanted else 0.0
