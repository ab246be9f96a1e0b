"""Rewrites trusted test code so that each assert is recorded and the next one still runs.

An assert in a loop is recorded each time it is executed. A ``try`` with handlers is one test
as a whole, because its handlers may be what is being tested.
"""

from __future__ import annotations

import ast

RECORD, FAIL = "__test_record__", "__test_fail__"


def _guarded(body: list[ast.stmt]) -> ast.Try:
    caught = ast.Name("__test_fault__", ast.Load())
    failed = ast.Expr(ast.Call(ast.Name(FAIL, ast.Load()), [caught], []))
    handler = ast.ExceptHandler(ast.Name("BaseException", ast.Load()), "__test_fault__", [failed])
    return ast.Try(body, [handler], [], [])


def _recorded(value: ast.expr) -> ast.stmt:
    return ast.Expr(ast.Call(ast.Name(RECORD, ast.Load()), [value], []))


class _Rewriter(ast.NodeTransformer):
    def __init__(self) -> None:
        self.count = 0

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        self.count += 1
        return _guarded([_recorded(node.test)])

    def visit_Try(self, node: ast.Try) -> ast.stmt:
        if not node.handlers:
            self.generic_visit(node)
            return node
        self.count += 1
        return _guarded([node, _recorded(ast.Constant(True))])


def instrument(source: str) -> ast.Module:
    """The rewritten module. Code without any assert is one test: that it does not raise."""
    tree = ast.parse(source)
    rewriter = _Rewriter()
    rewriter.visit(tree)
    if rewriter.count == 0:
        tree.body = [_guarded([*tree.body, _recorded(ast.Constant(True))])]
    return ast.fix_missing_locations(tree)
