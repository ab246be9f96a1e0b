"""AST match: share of the reference's sub-trees found in a program (PPOCoder, CodeBLEU)."""

from functools import lru_cache

from falcon.feedback.nodes import nodes_of, part_hashes


@lru_cache(maxsize=512)
def _subtrees(program: str) -> tuple[int, ...]:
    """A hash of the shape (node types only) of every node with children, root included."""
    nodes, _, sizes = nodes_of(program)
    # Type and size of every node, in pre-order, determine the shape of the whole tree.
    shapes = part_hashes(tuple(map(hash, zip(map(type, nodes), sizes, strict=True))), sizes)
    return tuple(shape for shape, size in zip(shapes, sizes, strict=True) if size > 1)


def ast_match(program: str, reference: str) -> float:
    """Share in [0, 1] of the reference's sub-trees that occur in the program.

    Shapes are node types without names and values; one sub-tree of the program may match
    several of the reference. 0 when either text does not parse or the reference is empty.
    """
    expected = _subtrees(reference)
    actual = set(_subtrees(program))
    return sum(shape in actual for shape in expected) / len(expected) if expected else 0.0
