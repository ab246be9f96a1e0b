"""Whole programs as the body of a function, where ``return`` at their top level is no error.

The checker of APPS runs programs in this way: the import lines at the beginning stay outside,
all else goes into a function without arguments, which is called. We change the syntax tree and
not the text, so that line numbers and strings of several lines stay as they are.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_FORM = "def code():\n    pass\ncode()"  # the name that checker gives it: a program may see it


def _top_level(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes that are in no function or class."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        pending += [n for n in ast.iter_child_nodes(node) if not isinstance(n, _SCOPES)]


def _importing_lines(source: str) -> int:
    """How many lines at the beginning are imports; 0 where all lines are."""
    for number, line in enumerate(source.splitlines()):
        if not line.startswith(("from ", "import ")):
            return number
    return 0


def in_function(source: str) -> ast.Module | None:
    """The program as a function and its call; None unless it returns at its top level.

    Also None for a source that does not parse. Raises what the parser raises for one that is
    too deep.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    if not any(isinstance(node, ast.Return) for node in _top_level(tree)):
        return None
    imports = _importing_lines(source)
    outside = [node for node in tree.body if node.lineno <= imports]
    body = tree.body[len(outside) :]
    if not body:
        return None
    form = ast.parse(_FORM)
    for node in ast.walk(form):
        ast.copy_location(node, body[0])
    function = form.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = body
    return ast.Module([*outside, *form.body], tree.type_ignores)
