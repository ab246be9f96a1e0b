"""The house: one class name has one meaning, and files, functions and signatures stay small.

The walls between packages and import cycles are import contracts (``lint-imports``, in
``make check``).
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted(file for top in ("falcon", "tasks", "flows") for file in (ROOT / top).rglob("*.py"))
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in FILES}
MOST_LINES, MOST_FUNCTION_LINES, MOST_PARAMETERS = 400, 60, 7

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, Function]]:
    """Every function with its place."""
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{file.relative_to(ROOT)}:{node.lineno} {node.name}", node


def test_a_public_class_name_means_one_thing() -> None:
    places = defaultdict(list)
    for file, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(file.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_no_file_is_long() -> None:
    lengths = {str(f.relative_to(ROOT)): f.read_text("utf-8").count("\n") for f in FILES}
    assert {file: lines for file, lines in lengths.items() if lines > MOST_LINES} == {}


def test_no_function_is_long() -> None:
    lengths = {place: (node.end_lineno or 0) - node.lineno + 1 for place, node in functions()}
    assert {place: n for place, n in lengths.items() if n > MOST_FUNCTION_LINES} == {}


def test_no_function_has_many_parameters() -> None:
    many = {}
    for place, node in functions():
        names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        number = len([name for name in names if name not in ("self", "cls")])
        if number > MOST_PARAMETERS:
            many[place] = number
    assert many == {}
