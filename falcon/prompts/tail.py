"""Tail: what stands behind the program in an answer to a function problem.

Small models add examples (prints, asserts, loops that read input) which end the program before a
test runs, or are cut in the middle of one. Only the end is cut off. Definitions and imports stay;
another statement goes only if what the definitions do cannot depend on it. In doubt it stays.
Nothing is run.
"""

from __future__ import annotations

import ast
import builtins
import re
import symtable
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from falcon.problems.syntax import parse, solution_methods

if TYPE_CHECKING:
    from falcon.problems.problem import Problem

_LINE_END = re.compile(r"\r\n|\r|\n")  # as CPython counts lines
_WORD = re.compile(r"[^\W\d]\w*")
_DEFINITIONS = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom
)  # fmt: skip
_REACHING = frozenset({"exec", "eval", "globals", "setattr", "delattr", "vars", "__import__"})
"""Builtins by which a statement may change what it does not name."""
_ENDING = frozenset({"exit", "main", "testmod"})
"""``sys.exit``, ``unittest.main``, ``doctest.testmod``: called for their own sake, they change
nothing in the program."""


def program_end(code: str, problem: Problem, least: int = 0) -> int:
    """Characters of ``code`` up to the end of what the problem's function needs.

    Behind its last definition, import or other needed statement, examples are cut off. Where the
    code does not parse, so is the first broken statement at the top level with all that follows,
    if the whole function stands before it. The first ``least`` characters are no part of the
    answer and stay. All of it is needed where the program is no function.
    """
    if problem.uses_stdin or not problem.entry_point:
        return len(code)
    end, tree = _unbroken(code, problem.entry_point, least)
    if tree is None:
        return len(code)
    try:
        module = _Module(code[:end], tree, problem)
    except SyntaxError:  # what only the compiler finds, such as a name that is local and global
        return end
    body = tree.body
    kept = len(body)
    while kept > 1 and module.is_example(body[kept - 1]):
        kept -= 1
    while kept < len(body) and body[kept].lineno == body[kept - 1].end_lineno:
        kept += 1  # `x = 1; print(x)`
    if kept == len(body):
        return end
    last = body[kept - 1].end_lineno or 0  # from 1, so this is the place of the next line
    return max(least, line_edges(code[:end])[last])


def line_edges(code: str) -> list[int]:
    """The character at which each line begins, as CPython counts lines, and the end of the last."""
    return [0, *(match.end() for match in _LINE_END.finditer(code)), len(code)]


def _unbroken(code: str, name: str, least: int) -> tuple[int, ast.Module | None]:
    """The longest beginning that parses, if it defines ``name``; else its tree is None."""
    try:
        tree = parse(code)
        return len(code), tree if _defines(tree, name) else None
    except SyntaxError as fault:
        broken = fault.lineno or 0
    starts = line_edges(code)[:-1]
    # What contains the broken line cannot parse.
    for start in reversed(starts[:broken] if broken else starts):
        if not code[start : start + 1].strip():
            continue  # blank, or inside of a statement
        if not code[least:start].strip():
            break
        try:
            tree = parse(code[:start])
        except SyntaxError:
            continue
        return start, tree if _defines(tree, name) else None
    return len(code), None


def _defines(tree: ast.Module, name: str) -> bool:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    names = {node.name for node in tree.body if isinstance(node, kinds)}
    return name in names or name in solution_methods(tree)


class _Module:
    """The names of a program: which are definitions, and which variables its functions see."""

    def __init__(self, code: str, tree: ast.Module, problem: Problem) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes such as "\d"
            self._table = symtable.symtable(code, "program", "exec")
        symbols = self._table.get_symbols()
        self._imports = {s.get_name() for s in symbols if s.is_imported()}
        self._bodies = {n.name: n for n in tree.body if isinstance(n, _DEFINITIONS[:3])}
        self._variables = {s.get_name() for s in symbols if s.is_assigned()}
        self._variables -= self._imports | set(self._bodies)
        self._called = _called(problem)

    def is_example(self, statement: ast.stmt) -> bool:
        """Whether the definitions before a last statement do the same without it."""
        if _is_main_guard(statement):
            return True  # it never runs: the sandbox imports a program for a function
        if any(isinstance(node, _DEFINITIONS) for node in ast.walk(statement)):
            return False
        seen = self._seen_before(statement.lineno)
        if _bound(statement) & (seen | self._called):
            return False
        state = (seen & self._variables) | _REACHING
        nodes = list(self._reached(statement))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        return not (names & state or any(self._has_effect(node) for node in nodes))

    def _seen_before(self, line: int) -> set[str]:
        """Global names that functions, classes and comprehensions above a line use."""
        todo = [t for t in self._table.get_children() if t.get_lineno() < line]
        seen = set()
        while todo:
            table = todo.pop()
            seen |= {s.get_name() for s in table.get_symbols() if s.is_global()}
            todo += table.get_children()
        return seen

    def _reached(self, statement: ast.stmt) -> Iterator[ast.AST]:
        """The nodes of a statement, and of the functions it may call other than the tested one."""
        todo: list[ast.AST] = [statement]
        visited = set(self._called)
        while todo:
            for node in ast.walk(todo.pop()):
                yield node
                if isinstance(node, ast.Name) and node.id not in visited:
                    visited.add(node.id)
                    if (body := self._bodies.get(node.id)) is not None:
                        todo.append(body)

    def _has_effect(self, node: ast.AST) -> bool:
        """Whether a node may change a definition, a module or the interpreter."""
        if isinstance(node, ast.Global):
            return True
        foreign = self._imports | set(self._bodies) | self._called
        if isinstance(node, ast.Attribute | ast.Subscript):
            root = _root(node)
            return not isinstance(node.ctx, ast.Load) and (root is None or root in foreign)
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            return False
        called = node.value.func  # for its own sake: `random.seed(1)`, `add.cache_clear()`
        if isinstance(called, ast.Name):
            return called.id not in self._bodies and not hasattr(builtins, called.id)
        return getattr(called, "attr", "") not in _ENDING and _root(called) in foreign


def _called(problem: Problem) -> set[str]:
    """The entry point, and every name in test code: tests may use what a program defines."""
    names, tests = {problem.entry_point}, problem.tests
    if tests.kind == "stdin":
        return names
    texts = [tests.entry_point]
    if tests.kind == "code":
        texts += [*tests.asserts, tests.check, tests.setup]
    return names.union(*(_WORD.findall(text) for text in texts))


def _is_main_guard(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Compare)
        and isinstance(node.test.left, ast.Name)
        and node.test.left.id == "__name__"
        and isinstance(node.test.ops[0], ast.Eq)
        and ast.unparse(node.test.comparators[0]) == "'__main__'"
        and not node.orelse
    )


def _bound(statement: ast.stmt) -> set[str]:
    """Names that a statement may bind or delete."""
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif name := getattr(node, "name", None):  # `except E as name`, `case name`
            names.add(name)
    return names


def _root(node: ast.expr) -> str | None:
    """``a`` of ``a.b[0].c()``; None where it is no name."""
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            return None
    return node.id
