from __future__ import annotations

import ast

import numpy as np
import pytest

from falcon.memory import corrupt

SOURCE = '''def total(xs, *rest, start=0):
    """Sum, é ≠ e."""
    result = start  # keep this comment
    for x in xs:
        if x > 10 and x != 3:
            result += x * 2
    return result
'''


def parses(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def test_every_kind_of_edit_occurs_and_each_is_one_edit() -> None:
    rng = np.random.default_rng(0)
    variants = {corrupt(SOURCE, rng) for _ in range(300)}
    assert SOURCE not in variants
    text = "\n".join(variants)
    for edited in ("x >= 10", "x == 3", "or x", "result -= x", "x + 2", "x * 3", "return None"):
        assert edited in text
    assert any(not parses(v) for v in variants)
    assert sum(parses(v) for v in variants) > len(variants) / 3
    for variant in variants:
        changed = [
            (a, b) for a, b in zip(SOURCE.split("\n"), variant.split("\n"), strict=True) if a != b
        ]
        assert len(changed) == 1
        assert "keep this comment" in variant


def test_the_generator_decides() -> None:
    first = [corrupt(SOURCE, np.random.default_rng(s)) for s in range(20)]
    assert first == [corrupt(SOURCE, np.random.default_rng(s)) for s in range(20)]
    assert len(set(first)) > 5


def test_a_program_without_anything_to_change_is_cut() -> None:
    variant = corrupt("pass\n", np.random.default_rng(0))
    assert variant != "pass\n"
    assert not parses(variant)


def test_a_broken_program_is_refused() -> None:
    with pytest.raises(ValueError, match="not valid Python"):
        corrupt("def f(:", np.random.default_rng(0))
