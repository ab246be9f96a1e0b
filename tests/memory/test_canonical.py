from __future__ import annotations

import ast
import inspect
import io
import tokenize

import pytest

from falcon.memory import canonical
from falcon.memory.canonical import canonical_program

PROGRAM = '''def f(xs, n=3):
    """Keep  this."""
    total = [x + n for x in xs if x != -1]
    if not total:
        return {"a  b": total[0], 'c': 1.5e-3}
    return total
'''


@pytest.mark.parametrize(
    "same",
    [
        PROGRAM + "\n\n",
        "# what it does\n\n" + PROGRAM.replace("= [x", "=  [ x  "),
        PROGRAM.replace("    ", "  "),
        PROGRAM.replace("\n", "\r\n"),
        PROGRAM.replace("return total\n", "return total  # done\n"),
        PROGRAM.replace("{", "{  # why\n\n      ").replace("1.5e-3", "\n 1.5e-3\n"),
        PROGRAM.replace("total = ", "total = \\\n        "),
        PROGRAM.replace("xs, n=3", "xs,n = 3"),
    ],
)
def test_layout_and_comments_do_not_matter(same: str) -> None:
    assert ast.dump(ast.parse(same)) == ast.dump(ast.parse(PROGRAM))
    assert canonical_program(same) == canonical_program(PROGRAM)


@pytest.mark.parametrize(
    "other",
    [
        PROGRAM.replace("Keep  this", "Keep this"),
        PROGRAM.replace("a  b", "a b"),
        PROGRAM.replace("total", "result"),
        PROGRAM.replace("x != -1", "x != - 1").replace("n=3", "n=4"),
        PROGRAM.replace("    return total\n", "        return total\n"),
        PROGRAM.replace("1.5e-3", "1.5e3"),
        PROGRAM[:-3],
    ],
)
def test_names_constants_and_order_matter(other: str) -> None:
    assert canonical_program(other) != canonical_program(PROGRAM)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("x = a if b else c", "x = aif b else c"),
        ("a < = b", "a <= b"),
        ("x = 1 .real", "x = 1.real"),
        ("if x:\n\ta\n        b", "if x:\n\ta\n\tb"),
        ("if x:\n    a\n  b", "if x:\n    a\n    b"),
        ('f"{d["a b"]}"', 'f"{d["a  b"]}"'),
        ("print('a b", "print('a  b"),
        ("f(\n  a", "f(a"),
        ("s = b 'x'", "s = b'x'"),
        ("print('a # b')", "print('a ')"),
        ('"""a\n\n# b"""', '"""a\n"""'),
    ],
)
def test_programs_that_differ_to_python_stay_different(one: str, two: str) -> None:
    assert canonical_program(one) != canonical_program(two)


def test_real_code_means_the_same_in_its_canonical_form() -> None:
    for module in (ast, inspect, io, tokenize, canonical):
        source = inspect.getsource(module)
        short = canonical_program(source)
        assert len(short) < len(source)
        assert ast.dump(ast.parse(short)) == ast.dump(ast.parse(source))
        assert canonical_program(short) == short
