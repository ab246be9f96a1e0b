"""AST match: share of the reference's sub-trees found in a program (PPOCoder, CodeBLEU)."""

from __future__ import annotations

from functools import lru_cache

from falcon.feedback.nodes import nodes_of


@lru_cache(maxsize=512)
def _subtrees(program: str) -> tuple[int, ...]:
    """A hash of the shape (node types only) of every node with children, root included."""
    nodes, parents = nodes_of(program)
    shapes: list[list[int]] = [[] for _ in nodes]
    inner = []
    # Children come after their parents, so backwards every shape is ready.
    for at in range(len(nodes) - 1, -1, -1):
        below = shapes[at]
        shape = hash((type(nodes[at]), *below))
        if below:
            inner.append(shape)
        if at:
            shapes[parents[at]].append(shape)
    return tuple(inner)


def ast_match(program: str, reference: str) -> float:
    """Share in [0, 1] of the reference's sub-trees that occur in the program.

    Shapes are node types without names and values; one sub-tree of the program may match
    several of the reference. 0 when either text does not parse or the reference is empty.
    """
    wanted = _subtrees(reference)
    have = set(_subtrees(program))
    return sum(each in have for each in wanted) / len(wanted) if wanted else 0.0
