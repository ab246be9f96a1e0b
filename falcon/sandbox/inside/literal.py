"""Test code that needs no oracle: asserts on one call with literal arguments each.

Nearly all tests of the public benchmarks are of this form. Their calls can be put to the
program in one batch and their conditions evaluated by the worker on the plain data that
came back, with the very operators the test names. Anything else (loops, helpers, two calls
in an assert) is left to the oracle; a test is never read in a way it might not mean.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import operator
from dataclasses import dataclass
from types import CodeType
from typing import Any

from . import codec
from .child import request

GOT = "__got__"
MOST_TESTS = 2000
_FUNCTIONS = {
    name: getattr(builtins, name)
    for name in ("abs", "all", "any", "bool", "float", "frozenset", "int", "len", "list",
                 "max", "min", "round", "set", "sorted", "str", "sum", "tuple")
}  # fmt: skip
_OPERATORS = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
              ast.In, ast.NotIn, ast.And, ast.Or, ast.Not, ast.UAdd, ast.USub, ast.Add, ast.Sub)  # fmt: skip
_ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
               ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
               ast.Pow: operator.pow}  # fmt: skip
_LARGE = 1 << 64
_SHAPES = (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Constant, ast.Tuple, ast.List,
           ast.Set, ast.Dict, ast.Subscript, ast.Load)  # fmt: skip


@dataclass(frozen=True)
class Test:
    """One assert: the call it makes as the child is sent it (empty: none), and its condition."""

    __test__ = False
    request: bytes
    condition: CodeType

    @property
    def calls(self) -> bool:
        """Whether the program is asked at all."""
        return bool(self.request)

    def holds(self, value: Any) -> bool:
        """The condition on what the program returned. Raises what the test would raise."""
        space = {"__builtins__": {}, GOT: value, **_FUNCTIONS}
        return bool(eval(self.condition, space))  # noqa: S307  trusted code of a known shape


class _Unfit(Exception):
    """Not of this form."""


def _plain(node: ast.expr) -> Any:
    """The value of a literal, or of arithmetic on small ones. Raises _Unfit and ValueError."""
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        make = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
        return make(_plain(each) for each in node.elts)
    try:
        return ast.literal_eval(node)  # has a rule of its own for complex numbers
    except ValueError:
        if not isinstance(node, ast.BinOp):
            raise
    return _computed(node)


def _computed(node: ast.BinOp) -> Any:
    if type(node.op) not in _ARITHMETIC:
        raise _Unfit
    left, right = _plain(node.left), _plain(node.right)
    numbers = all(type(v) in (int, float) and abs(v) < _LARGE for v in (left, right))
    if isinstance(node.op, ast.Pow):
        fit = numbers and type(right) is int and 0 <= right <= 64
    elif isinstance(node.op, ast.Add):
        fit = numbers or (type(left) is type(right) and type(left) in (str, list, tuple))
    else:
        fit = numbers
    if not fit:
        raise _Unfit
    try:
        return _ARITHMETIC[type(node.op)](left, right)
    except ArithmeticError:
        raise _Unfit from None


@functools.lru_cache(maxsize=1024)
def tests_of(
    check: str, asserts: tuple[str, ...], setup: str, entry_point: str
) -> tuple[Test, ...] | None:
    """The tests of a code suite, or None when one of them needs the oracle."""
    try:
        ours = _bound(ast.parse(setup))
        if check:
            module = ast.parse(check)
            body, name = _check_body(module)
            found = [_test(each, {name: entry_point}, ours | _bound(module)) for each in body]
        else:
            found = [
                _test(each, {entry_point: entry_point} if entry_point else {}, ours)
                for text in asserts
                for each in _asserts(ast.parse(text).body, text)
            ]
    except (_Unfit, SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
    fit = len(found) <= MOST_TESTS and any(test.calls for test in found)
    return tuple(found) if fit else None


def _bound(module: ast.Module) -> set[str]:
    """Names that code of the tests defines. Setting one up may only import or define."""
    names: set[str] = set()
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign) and all(isinstance(t, ast.Name) for t in node.targets):
            ast.literal_eval(node.value)
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            raise _Unfit
    return names


def _check_body(module: ast.Module) -> tuple[list[ast.Assert], str]:
    functions = [n for n in module.body if isinstance(n, ast.FunctionDef)]
    if len(functions) != 1 or functions[0].name != "check" or functions[0].decorator_list:
        raise _Unfit
    given = functions[0].args
    if len(given.args) != 1 or given.posonlyargs or given.kwonlyargs or given.vararg or given.kwarg:
        raise _Unfit
    return _asserts(functions[0].body, ""), given.args[0].arg


def _asserts(body: list[ast.stmt], text: str) -> list[ast.Assert]:
    found: list[ast.Assert] = []
    for node in body:
        if isinstance(node, ast.Assert):
            found.append(node)
        elif not isinstance(node, ast.Pass) and not (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and not text
        ):
            raise _Unfit
    if text and len(found) != 1:
        raise _Unfit
    return found


def _test(node: ast.Assert, renamed: dict[str, str], ours: set[str]) -> Test:
    calls: list[ast.Call] = []

    class Cut(ast.NodeTransformer):
        """Puts the returned value in place of the call of the program."""

        def visit(self, each: ast.AST) -> ast.AST:
            if isinstance(each, ast.Call) and isinstance(each.func, ast.Name):
                if each.func.id in renamed or each.func.id not in _FUNCTIONS:
                    calls.append(each)
                    return ast.copy_location(ast.Name(GOT, ast.Load()), each)
                if each.keywords or each.func.id in ours:
                    raise _Unfit
                each.args = [self.visit(a) for a in each.args]  # type: ignore[misc]
                return each
            if isinstance(each, ast.BinOp):
                with contextlib.suppress(_Unfit, ValueError, TypeError):
                    value = _plain(each)
                    if type(value) in (int, float, str):
                        return ast.copy_location(ast.Constant(value), each)
            if not isinstance(each, _SHAPES + _OPERATORS):
                raise _Unfit
            return self.generic_visit(each)

    condition = ast.fix_missing_locations(ast.Expression(Cut().visit(node.test)))  # type: ignore[arg-type]
    if len(calls) > 1:
        raise _Unfit
    code = compile(condition, "<test>", "eval")
    if not calls:
        return Test(b"", code)
    called = calls[0].func
    assert isinstance(called, ast.Name)
    if called.id in ours or (called.id not in renamed and hasattr(builtins, called.id)):
        raise _Unfit
    named = {}
    for each in calls[0].keywords:
        if each.arg is None:
            raise _Unfit
        named[each.arg] = _plain(each.value)
    try:
        arguments = codec.encode([_plain(a) for a in calls[0].args])
        words = codec.encode(named)
    except (codec.Unserialisable, codec.TooLarge) as fault:
        raise _Unfit from fault
    name = renamed.get(called.id, called.id)
    return Test(request(name, arguments, words), code)
