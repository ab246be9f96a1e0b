"""Test code that needs no oracle: asserts on one call with literal arguments each.

Nearly all tests of the public benchmarks are of this form. Their calls can be put to the program
in one batch, and the worker evaluates their conditions on the plain data that came back, with
the operators that the test names. Anything else (loops, helpers, two calls in an assert) is left
to the oracle: where a test might mean something else, it is not read here.
"""

import ast
import builtins
import contextlib
import operator
from dataclasses import dataclass
from types import CodeType
from typing import Any

from ..wire import codec
from ..wire.messages import request
from ..wire.records import PURE
from ..wire.store import Store, size_of

_VALUE = "__value__"  # stands in a condition for what the program returned
MOST_TESTS = 2000
MOST_TEXT = 1 << 18  # characters of one text
_FUNCTIONS = {name: getattr(builtins, name) for name in PURE}
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
    """One assert: the call it makes, as a child's request (empty: none), its condition, and the
    room of what the call returns."""

    __test__ = False  # pytest would collect a class of this name
    request: bytes
    condition: CodeType
    room: int = 1

    def holds(self, value: Any) -> bool:
        """The condition on what the program returned. Raises what the test would raise."""
        space = {"__builtins__": {}, _VALUE: value, **_FUNCTIONS}
        return bool(eval(self.condition, space))  # noqa: S307  trusted code of a known shape

    def is_true(self) -> bool:
        """Whether a condition that calls nothing holds."""
        with contextlib.suppress(Exception):
            return self.holds(None)
        return False


class _Unfit(Exception):
    """The test is not of this form: the oracle must run it."""


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
    # Bounded, so that the tests of one problem cannot keep the worker busy.
    numbers = all(type(v) in (int, float) and abs(v) < _LARGE for v in (left, right))
    fit = numbers
    if isinstance(node.op, ast.Pow):
        fit = numbers and type(right) is int and 0 <= right <= 64
    elif isinstance(node.op, ast.Add):
        fit = numbers or (type(left) is type(right) and type(left) in (str, list, tuple))
    if not fit:
        raise _Unfit
    try:
        return _ARITHMETIC[type(node.op)](left, right)
    except ArithmeticError:
        raise _Unfit from None


_KEPT: Store[tuple[tuple[Test, ...] | None]] = Store(1 << 22)  # about ten times that in memory


def tests_of(
    check: str, asserts: tuple[str, ...], setup: str, entry_point: str
) -> tuple[Test, ...] | None:
    """The tests of a code suite, or None when one of them needs the oracle. Asserts that call
    nothing are none, unless they fail: ``assert True`` would be a point for every program."""
    key = check, asserts, setup, entry_point
    if kept := _KEPT.get(key):
        return kept[0]
    # A syntax tree takes some 500 times the memory of its text.
    small = max(map(len, (check, setup, *asserts))) <= MOST_TEXT
    tests = _read(check, asserts, setup, entry_point) if small else None
    _KEPT.put(key, (tests,), size_of((check, setup, *asserts)))
    return tests


def _read(
    check: str, asserts: tuple[str, ...], setup: str, entry_point: str
) -> tuple[Test, ...] | None:
    try:
        ours = _bound(ast.parse(setup))
        if check:
            module = ast.parse(check)
            body, parameter = _check_body(module)
            names = {parameter: entry_point}
            tests = [_test(node, names, ours | _bound(module)) for node in body]
        else:
            names = {entry_point: entry_point} if entry_point else {}
            nodes = [node for text in asserts for node in _asserts(ast.parse(text).body, text)]
            tests = [_test(node, names, ours) for node in nodes]
    except (_Unfit, SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
    tests = [test for test in tests if test.request or not test.is_true()]
    fit = len(tests) <= MOST_TESTS and any(test.request for test in tests)
    return tuple(tests) if fit else None


def _bound(module: ast.Module) -> set[str]:
    """Names that code of the tests defines. Raises _Unfit if it does more than that."""
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
    asserts: list[ast.Assert] = []
    for node in body:
        if isinstance(node, ast.Assert):
            asserts.append(node)
        elif not isinstance(node, ast.Pass) and not (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and not text
        ):
            raise _Unfit
    if text and len(asserts) != 1:
        raise _Unfit
    return asserts


def _test(node: ast.Assert, renamed: dict[str, str], ours: set[str]) -> Test:
    """``renamed``: what the test calls the entry point; ``ours``: names of the test's own."""
    calls: list[ast.Call] = []

    room = codec.room_for([ast.unparse(node)])  # before the call is cut out

    class Cut(ast.NodeTransformer):
        """Puts the returned value in place of the call of the program."""

        def visit(self, part: ast.AST) -> ast.AST:
            if isinstance(part, ast.Call) and isinstance(part.func, ast.Name):
                if part.func.id in renamed or part.func.id not in _FUNCTIONS:
                    calls.append(part)
                    return ast.copy_location(ast.Name(_VALUE, ast.Load()), part)
                if part.keywords or part.func.id in ours:
                    raise _Unfit
                part.args = [self.visit(a) for a in part.args]  # type: ignore[misc]
                return part
            if isinstance(part, ast.BinOp):
                with contextlib.suppress(_Unfit, ValueError, TypeError):
                    value = _plain(part)
                    if type(value) in (int, float, str):
                        return ast.copy_location(ast.Constant(value), part)
            if not isinstance(part, _SHAPES + _OPERATORS):
                raise _Unfit
            return self.generic_visit(part)

    condition = ast.fix_missing_locations(ast.Expression(Cut().visit(node.test)))  # type: ignore[arg-type]
    if len(calls) > 1:
        raise _Unfit
    code = compile(condition, "<test>", "eval")
    return Test(_request(calls[0], renamed, ours, room) if calls else b"", code, room)


def _request(call: ast.Call, renamed: dict[str, str], ours: set[str], room: int) -> bytes:
    assert isinstance(call.func, ast.Name)
    name = call.func.id
    if name in ours or (name not in renamed and hasattr(builtins, name)):
        raise _Unfit
    named = {}
    for keyword in call.keywords:
        if keyword.arg is None:  # **kwargs
            raise _Unfit
        named[keyword.arg] = _plain(keyword.value)
    try:
        arguments = codec.encode([_plain(argument) for argument in call.args])
        return request(renamed.get(name, name), arguments, codec.encode(named), room=room)
    except (codec.Unserialisable, codec.TooLarge) as fault:
        raise _Unfit from fault
