"""Imports in a file of tests: of the program, by the name of a module, and of packages.

The program is no module of the tests' process: ``from solution import f`` means the program's
``f``, and so does ``solution.f`` after ``import solution``.
"""

import ast
import sys
from pathlib import Path
from typing import NamedTuple

from falcon.sandbox.slot import PACKAGES

_PROGRAM = ("solution", "solutions", "main", "program", "submission", "answer")
_KNOWN = {*sys.stdlib_module_names, *PACKAGES, "pytest"}
HINT = "Import what is of the program from `solution`, or take the import away."


class Refusal(NamedTuple):
    """What of a file cannot be run: where, and why."""

    node: ast.AST
    what: str


def without_program(path: Path, tree: ast.Module, program: str = "") -> list[Refusal]:
    """Take the imports of the program out of ``tree``. Returns what cannot be imported.

    The program's module is ``program``, one of a few usual names, ``x`` in a file ``test_x.py`` or
    ``x_test.py``, or what is imported by a leading dot.
    """
    own = path.stem.removeprefix("test_").removesuffix("_test")
    names = {*_PROGRAM, own, program} - {"tests", "test", ""} - _KNOWN
    rewriter = _Rewriter(names)
    rewriter.visit(tree)
    ast.fix_missing_locations(tree)
    modules = rewriter.modules
    loads = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in modules]
    values = [Refusal(n, f"`{n.id}`, the program's module, is no value here") for n in loads]
    return rewriter.refused + values


class _Rewriter(ast.NodeTransformer):
    """``modules``: the names that stand for the program as a module."""

    def __init__(self, names: set[str]) -> None:
        self._names, self.modules = names, set[str]()
        self.refused: list[Refusal] = []
        self._handled = 0  # within so many `try` that may catch an ImportError

    def visit_Try(self, node: ast.Try) -> ast.stmt:
        self._handled += bool(node.handlers)
        self.generic_visit(node)
        self._handled -= bool(node.handlers)
        return node

    def visit_Import(self, node: ast.Import) -> ast.stmt:
        left = []
        for alias in node.names:
            if alias.name in self._names:
                self.modules.add(alias.asname or alias.name)
            else:
                left.append(alias)
                self._check(node, alias.name)
        node.names = left
        return node if left else ast.Pass()

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | list[ast.stmt]:
        if not node.level and (node.module or "").rpartition(".")[2] not in self._names:
            self._check(node, node.module or "")
            return node
        others = [alias for alias in node.names if alias.asname not in (None, alias.name)]
        return [
            ast.Pass(),
            *(
                ast.Assign([ast.Name(a.asname or "", ast.Store())], ast.Name(a.name, ast.Load()))
                for a in others
            ),
        ]

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        match node.value:
            case ast.Name(name) if name in self.modules:
                return ast.Name(node.attr, node.ctx)
        return node

    def _check(self, node: ast.stmt, module: str) -> None:
        top = module.partition(".")[0]
        if top not in _KNOWN and not self._handled:
            self.refused.append(Refusal(node, f"tests cannot import `{top}` here"))
