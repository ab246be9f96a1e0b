"""AST match and data-flow match."""

from __future__ import annotations

import pytest
from judge_pairs import GOOD_SUM

from falcon.feedback import ast_match, data_flow, dataflow_match


def test_a_program_matches_itself_under_other_names() -> None:
    renamed = GOOD_SUM.replace("values", "numbers").replace("result", "out")
    assert ast_match(renamed, GOOD_SUM) == 1.0
    assert dataflow_match(renamed, GOOD_SUM) == 1.0


def test_ast_match_by_hand() -> None:
    # Inner nodes of `x = a + b`: BinOp, Assign, Module; of `y = a + b`, `z = 1` one Assign more.
    assert ast_match("x = a + b\nz = 1\n", "x = a + b") == pytest.approx(2 / 3)
    assert ast_match("x = a - b\n", "x = a + b") == 0.0


def test_data_flow_by_hand() -> None:
    # a is computed from a constant; b comes from a; a and b are read.
    assert data_flow("a = 1\nb = a\n") == (
        ("var_0", "computed_from", ()),
        ("var_1", "comes_from", ("var_0",)),
        ("var_0", "comes_from", ("var_0",)),
    )
    assert dataflow_match("a = 1\nb = 2\n", "a = 1\nb = a\n") == pytest.approx(1 / 3)


def test_edges_match_one_to_one() -> None:
    twice = "def f(a):\n    return a + a\n"
    assert dataflow_match("def f(a):\n    return a\n", twice) == 0.5


@pytest.mark.parametrize("match", [ast_match, dataflow_match])
def test_no_match_without_a_program_or_a_reference(match) -> None:
    assert match("def (", GOOD_SUM) == 0.0
    assert match(GOOD_SUM, "def (") == 0.0
    assert match(GOOD_SUM, "") == 0.0
    assert match("", GOOD_SUM) == 0.0


def test_loops_and_unpacking_carry_data() -> None:
    assert ("var_0", "computed_from", ("var_1",)) in data_flow(
        "def f(v):\n    for x in v:\n        print(x)\n"
    )
    swap = data_flow("a = 1\nb = 2\na, b = b, a\n")
    assert ("var_0", "comes_from", ("var_1",)) in swap
    assert ("var_1", "comes_from", ("var_0",)) in swap
