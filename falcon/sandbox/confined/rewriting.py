"""Test code as it is run: each test in it is recorded, and names of the program are asked for."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from types import CodeType
from typing import Any, NamedTuple

from ..wire import codec
from ..wire.records import CodeTests, bound_names, free_names, tests_nothing
from ..wire.store import Store, size_of

RECORD, FAIL, ENDED = "__test_record__", "__test_fail__", "__test_ended__"
VALUE = "__test_value__"
"""Names of functions that the code which is run calls: for a test that was evaluated, that could
not be, that ended; and for what the program has by a name."""


def is_class_name(name: str) -> bool:
    """Whether a name is written as those of classes are, and so the tests mean one."""
    return name.lstrip("_")[:1].isupper() and "()" not in name


class _Values(ast.NodeTransformer):
    """Has the program asked for what it has by a name, where the tests do not call the name. The
    entry point may be passed on as a function: it is one to the tests. Within a function that has
    a local of that name nothing is asked: there it is the local, or else the function to call."""

    def __init__(self, names: Collection[str], entry_point: str) -> None:
        self._names, self._entry_point = names, entry_point

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if not isinstance(node.func, ast.Name):
            node.func = self.visit(node.func)
        passed = [self._is_entry(each) for each in node.args]
        node.args = [
            a if same else self.visit(a) for a, same in zip(node.args, passed, strict=True)
        ]
        node.keywords = [self.visit(each) for each in node.keywords]
        return node

    def _scope(self, node: ast.AST) -> Any:
        names, self._names = self._names, {*self._names} - _locals(node)
        self.generic_visit(node)
        self._names = names
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = _scope
    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _scope

    def _is_entry(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id == self._entry_point

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if not isinstance(node.ctx, ast.Load) or node.id not in self._names:
            return node
        return ast.Call(ast.Name(VALUE, ast.Load()), [ast.Constant(node.id)], [])


def _locals(scope: ast.AST) -> set[str]:
    """Names that are bound within a function, class or comprehension."""
    everything = [*ast.walk(scope)]
    shared = {name for n in everything if isinstance(n, ast.Global) for name in n.names}
    found = {
        n.id for n in everything if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)
    }
    found |= {n.arg for n in everything if isinstance(n, ast.arg)}
    return found - shared


def _guarded(site: int, body: list[ast.stmt], *, ended: bool = False) -> ast.Try:
    """``body``, whose exception is a failed test; ``ended``: and which passed if there is none."""
    fault = ast.Name("__test_fault__", ast.Load())
    failed = _called(FAIL, site, fault, ast.Constant(ended))
    handler = ast.ExceptHandler(ast.Name("BaseException", ast.Load()), "__test_fault__", [failed])
    return ast.Try(body, [handler], [], [_called(ENDED, site)] if ended else [])


def _called(name: str, site: int, *arguments: ast.expr) -> ast.stmt:
    return ast.Expr(ast.Call(ast.Name(name, ast.Load()), [ast.Constant(site), *arguments], []))


class _Rewriter(ast.NodeTransformer):
    """Has each test of a text recorded, and the next one run. ``sites``: how many so far; a
    test's number is its site, however often it runs. ``taken``: names that are not the builtins of
    that name; ``functions``: those of the texts so far, whose tests are recorded within."""

    def __init__(
        self, tree: ast.Module, taken: Collection[str], sites: int, functions: set[str]
    ) -> None:
        self.sites, self._functions = sites, functions
        # Not those below an `if`: they say by being reached what the program did.
        self._idle = {
            id(each)
            for block in ast.walk(tree)
            if isinstance(block, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef)
            for each in block.body
            if isinstance(each, ast.Assert) and tests_nothing(each, taken)
        }

    def _site(self) -> int:
        self.sites += 1
        return self.sites - 1

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        site = self._site()
        idle = ast.Constant(id(node) in self._idle)
        return _guarded(site, [_called(RECORD, site, node.test, idle)])

    def visit_Try(self, node: ast.Try | ast.TryStar) -> ast.stmt:
        # One test as a whole where it has handlers: they may be what is being tested.
        if not node.handlers:
            self.generic_visit(node)
            return node
        return _guarded(self._site(), [node], ended=True)

    def visit_With(self, node: ast.With | ast.AsyncWith) -> ast.stmt:
        # So is a `with` that may catch something, as raises(...): asserts in it may be meant to
        # fail.
        if not all(map(_CATCHES_NOTHING.fullmatch, map(_name_of, node.items))):
            return _guarded(self._site(), [node], ended=True)
        self.generic_visit(node)
        return node

    visit_TryStar = visit_Try
    visit_AsyncWith = visit_With

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        name = _name_of(node.value)
        if name.startswith("assert"):  # unittest's and numpy's
            return _guarded(self._site(), [node], ended=True)
        if name.startswith("test"):
            # What it raises does not end those after it. One that is not recorded within is one.
            return _guarded(self._site(), [node], ended=name not in self._functions)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.stmt:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.stmt:
        before = self.sites
        self._functions.add(node.name)
        self.generic_visit(node)
        if node.name.startswith("test") and self.sites == before:
            node.body = [_guarded(self._site(), node.body, ended=True)]
        return node


_CATCHES_NOTHING = re.compile(
    "subTest|open|nullcontext|closing|redirect_std.*|catch_warnings|errstate|localcontext|patch"
    "|Temporary.*|.*Executor|timeout"
)


def _name_of(node: ast.AST) -> str:
    """Name of the function that is called, of an expression or of an item of ``with``."""
    match node:
        case ast.withitem(ast.Call(ast.Attribute(_, name))) | ast.Call(ast.Attribute(_, name)):
            return name
        case ast.withitem(ast.Call(ast.Name(name))) | ast.Call(ast.Name(name)):
            return name
    return ""


class Text(NamedTuple):
    """One text of the tests. ``whole``: it has no tests in it, so it is one; ``site``: of what
    goes wrong between them."""

    code: CodeType
    site: int
    whole: bool


class CompiledTests(NamedTuple):
    """A suite as it is run. ``stubs``: names of the program; ``room``: of a result; ``driven``:
    whether the tests do with generators what only those themselves can do."""

    stubs: frozenset[str]
    setup: CodeType
    texts: tuple[Text, ...]
    room: int
    numpy: bool
    driven: bool


_DRIVEN = re.compile(r"\.(send|throw|close)\(")
_KEPT: Store[CompiledTests] = Store(1 << 22)  # what is kept must leave the next tests their memory


def compiled(tests: CodeTests) -> CompiledTests:
    """The code of a suite, which the programs of a group share. Raises what compiling raises."""
    if (kept := _KEPT.get(tests)) is None:
        kept = _compile(tests)
        _KEPT.put(tests, kept, size_of((tests.setup, tests.check, *tests.asserts)))
    return kept


def _compile(tests: CodeTests) -> CompiledTests:
    sources = (tests.check,) if tests.check else tests.asserts
    everything = "\n".join([tests.setup, *sources])
    stubs = free_names(everything) | ({tests.entry_point} - {""})
    values = _Values(stubs, tests.entry_point)
    texts, sites, taken, functions = [], 0, bound_names(everything) | stubs, set[str]()
    for source in sources:
        tree = values.visit(ast.parse(source))
        rewriter = _Rewriter(tree, taken, sites, functions)
        tree = ast.fix_missing_locations(rewriter.visit(tree))
        whole, sites = rewriter.sites == sites, rewriter.sites + 1
        texts.append(Text(compile(tree, "<test>", "exec", dont_inherit=True), sites - 1, whole))
    setup = ast.fix_missing_locations(values.visit(ast.parse(tests.setup)))
    return CompiledTests(
        frozenset(stubs),
        compile(setup, "<setup>", "exec", dont_inherit=True),
        tuple(texts),
        codec.room_for((tests.setup, *sources)),
        numpy="numpy" in everything,
        driven=_DRIVEN.search(everything) is not None,
    )
