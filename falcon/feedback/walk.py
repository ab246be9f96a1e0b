"""The walk over a syntax tree that fills :class:`falcon.feedback.facts.Facts`.

One pass with a stack of its own (depth of the tree is no concern), one handler for each
kind of node that says anything. Names are judged over the whole program, not by scope:
a name counts as used when it is read anywhere.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from typing import Any

from falcon.feedback.facts import Facts

_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BLOCKS = (*_LOOPS, ast.If, ast.Try, ast.With, ast.AsyncWith, ast.Match)
_JUMPS = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_EFFORT = (
    ast.AugAssign,
    ast.BinOp,
    ast.BoolOp,
    ast.Call,
    ast.Compare,
    ast.For,
    ast.IfExp,
    ast.JoinedStr,
    ast.Subscript,
    ast.While,
    ast.Yield,
    ast.YieldFrom,
    *_COMPREHENSIONS,
)
_UNCOUNTED = (ast.expr_context, ast.arguments, ast.Module, ast.Pass)
_SLOW_METHODS = frozenset({"count", "index", "sort", "remove"})
_SHADOWED = frozenset(dir(builtins)) - {"_", "id", "input", "copyright", "credits", "license"}


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _dotted(node: ast.AST) -> str:
    """``a.b.c`` of an attribute chain; a chain on another expression begins with a dot."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts.append(node.id if isinstance(node, ast.Name) else "")
    return ".".join(reversed(parts))


class Walk:
    """Fills facts from one tree. ``docstrings`` are their first and last lines."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.docstrings: list[tuple[int, int]] = []
        self._efforts = 0
        self._handlers: dict[type[ast.AST], Callable[[Any, int], None]] = {
            ast.Name: self._name,
            ast.Attribute: self._attribute,
            ast.Call: self._call,
            ast.Constant: self._constant,
            ast.Compare: self._compare,
            ast.FunctionDef: self._function,
            ast.AsyncFunctionDef: self._function,
            ast.ClassDef: self._class,
            ast.Import: self._import,
            ast.ImportFrom: self._import_from,
            ast.ExceptHandler: self._handler,
            ast.Assign: self._assign,
            ast.AnnAssign: self._annotated,
            ast.For: self._for,
            ast.If: self._if,
            ast.Assert: self._assert,
            ast.Global: self._global,
            ast.Lambda: self._arguments,
        }

    def run(self, tree: ast.Module) -> None:
        """Walk the whole tree."""
        facts, handlers = self.facts, self._handlers
        stack: list[tuple[ast.AST, int, int]] = [(tree, 0, 0)]
        while stack:
            node, loops, depth = stack.pop()
            kind = type(node)
            if not isinstance(node, _UNCOUNTED):
                facts.nodes += 1
            self._efforts += kind in _EFFORT
            handler = handlers.get(kind)
            if handler is not None:
                handler(node, loops)
            inner_loops, inner_depth = loops, depth
            if isinstance(node, ast.stmt):
                if isinstance(node, _BLOCKS):
                    inner_depth += 1
                    facts.nesting = max(facts.nesting, inner_depth)
                elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
                    inner_loops = inner_depth = 0
                elif isinstance(node, (ast.Raise, ast.Assert)):
                    self._discount(node)
                if isinstance(node, _LOOPS):
                    inner_loops += 1
            elif isinstance(node, _COMPREHENSIONS):
                inner_loops += len(node.generators)
            facts.loop_depth = max(facts.loop_depth, inner_loops)
            self._children(node, stack, inner_loops, inner_depth)
        facts.effort = self._efforts > 0

    def _children(
        self, node: ast.AST, stack: list[tuple[ast.AST, int, int]], loops: int, depth: int
    ) -> None:
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                if value and isinstance(value[0], ast.stmt):
                    value = self._block(node, name, value)
                chained = (
                    name == "orelse"
                    and isinstance(node, ast.If)
                    and len(value) == 1
                    and isinstance(value[0], ast.If)
                )
                level = depth - 1 if chained else depth
                stack += [(each, loops, level) for each in value if isinstance(each, ast.AST)]
            elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
                stack.append((value, loops, depth))

    def _block(self, owner: ast.AST, name: str, body: list[Any]) -> list[Any]:
        """Look at a list of statements; returns it without its docstring."""
        issues = self.facts.issues
        holder = (ast.Module, ast.ClassDef, *_FUNCTIONS)
        if name == "body" and isinstance(owner, holder) and _is_docstring(body[0]):
            self.docstrings.append((body[0].lineno, body[0].end_lineno or body[0].lineno))
            self.facts.documented += isinstance(owner, _FUNCTIONS)
            body = body[1:]
        line = getattr(owner, "lineno", 0) if name == "body" else 0
        ended = False
        for statement in body:
            issues["several statements on a line"] += statement.lineno == line
            line = statement.end_lineno
            if ended or self._does_nothing(statement):
                self.facts.dead_statements += 1
                if isinstance(statement, ast.Expr):
                    self._discount(statement)
            ended = ended or isinstance(statement, _JUMPS)
        return body

    @staticmethod
    def _does_nothing(statement: ast.stmt) -> bool:
        if isinstance(statement, ast.Expr):
            value = statement.value
            constant = isinstance(value, ast.Constant) and value.value is not Ellipsis
            return constant or isinstance(value, (ast.Name, ast.Compare, ast.BinOp))
        if isinstance(statement, (ast.If, ast.While)):
            return isinstance(statement.test, ast.Constant) and not statement.test.value
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
            same = isinstance(target, ast.Name) and isinstance(value, ast.Name)
            return same and target.id == value.id  # type: ignore[attr-defined]
        return False

    def _discount(self, *trees: ast.AST | None) -> None:
        """Take back the effort seen in what computes nothing: raises, annotations, bare values."""
        for tree in trees:
            if tree is not None:
                self._efforts -= sum(isinstance(node, _EFFORT) for node in ast.walk(tree))

    def _name(self, node: ast.Name, loops: int) -> None:
        if isinstance(node.ctx, ast.Load):
            self.facts.loaded.add(node.id)
            return
        self.facts.stored.add(node.id)
        self.facts.issues["shadowed built-in"] += node.id in _SHADOWED

    def _attribute(self, node: ast.Attribute, loops: int) -> None:
        name = _dotted(node)
        self.facts.dotted.add(name)
        if not isinstance(node.ctx, ast.Load):
            self.facts.patched.add(name)

    def _call(self, node: ast.Call, loops: int) -> None:
        target = node.func
        if isinstance(target, ast.Name):
            self.facts.dotted.add(target.id + "()")
            self.facts.slow_in_loop += bool(loops) and target.id == "sorted"
            self.facts.issues["eval or exec"] += target.id in ("eval", "exec")
            return
        if not isinstance(target, ast.Attribute) or not loops:
            return
        first = node.args[0] if node.args else None
        at_front = isinstance(first, ast.Constant) and first.value == 0
        slow = target.attr in _SLOW_METHODS or (target.attr in ("pop", "insert") and at_front)
        self.facts.slow_in_loop += slow

    def _constant(self, node: ast.Constant, loops: int) -> None:
        self.facts.constants.append(node.value)

    def _compare(self, node: ast.Compare, loops: int) -> None:
        issues = self.facts.issues
        for operator, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, (ast.Eq, ast.NotEq)) and isinstance(right, ast.Constant):
                issues["== None"] += right.value is None
                issues["== True or False"] += isinstance(right.value, bool)
            call = node.left
            issues["type(x) == T"] += (
                isinstance(operator, (ast.Eq, ast.Is))
                and isinstance(call, ast.Call)
                and isinstance(call.func, ast.Name)
                and call.func.id == "type"
            )

    def _arguments(self, node: Any, loops: int) -> None:
        arguments: ast.arguments = node.args
        for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            self.facts.parameters.append(each.arg)
            self.facts.issues["shadowed built-in"] += each.arg in _SHADOWED
        for default in (*arguments.defaults, *arguments.kw_defaults):
            self.facts.issues["mutable default"] += isinstance(
                default, (ast.List, ast.Dict, ast.Set)
            )

    def _function(self, node: Any, loops: int) -> None:
        self.facts.functions.append(node.name)
        self._arguments(node, loops)
        arguments: ast.arguments = node.args
        each = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        self._discount(node.returns, *(argument.annotation for argument in each))

    def _class(self, node: ast.ClassDef, loops: int) -> None:
        self.facts.classes.append(node.name)

    def _import(self, node: ast.Import, loops: int) -> None:
        for alias in node.names:
            self.facts.imported[alias.asname or alias.name.partition(".")[0]] = alias.name
            self.facts.modules.add(alias.name.partition(".")[0])

    def _import_from(self, node: ast.ImportFrom, loops: int) -> None:
        module = node.module or ""
        self.facts.modules.add(module.partition(".")[0])
        for alias in node.names:
            self.facts.issues["import *"] += alias.name == "*"
            if alias.name != "*" and module != "__future__":
                self.facts.imported[alias.asname or alias.name] = f"{module}.{alias.name}"
                self.facts.dotted.add(f"{module}.{alias.name}")

    def _handler(self, node: ast.ExceptHandler, loops: int) -> None:
        self.facts.issues["bare except"] += node.type is None
        silent = len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
        self.facts.issues["silenced exception"] += silent

    def _assign(self, node: ast.Assign, loops: int) -> None:
        target = node.targets[-1]
        self.facts.assigned |= {each.id for each in node.targets if isinstance(each, ast.Name)}
        self.facts.issues["no spaces around ="] += (
            target.end_lineno == node.value.lineno
            and node.value.col_offset - (target.end_col_offset or 0) == 1
        )
        self.facts.issues["named lambda"] += isinstance(node.value, ast.Lambda) and isinstance(
            target, ast.Name
        )
        self.facts.exported |= isinstance(target, ast.Name) and target.id == "__all__"

    def _annotated(self, node: ast.AnnAssign, loops: int) -> None:
        self._discount(node.annotation)
        if isinstance(node.target, ast.Name) and node.value is not None:
            self.facts.assigned.add(node.target.id)

    def _for(self, node: ast.For, loops: int) -> None:
        call = node.iter
        counted = (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id == "range"
            and len(call.args) == 1
        )
        if not counted or not isinstance(node.target, ast.Name):
            return
        length = call.args[0]  # type: ignore[attr-defined]
        self.facts.issues["range(len(x))"] += (
            isinstance(length, ast.Call)
            and isinstance(length.func, ast.Name)
            and length.func.id == "len"
        )

    def _if(self, node: ast.If, loops: int) -> None:
        branches = (node.body, node.orelse)
        booleans = all(
            len(body) == 1
            and isinstance(body[0], ast.Return)
            and isinstance(body[0].value, ast.Constant)
            and isinstance(body[0].value.value, bool)
            for body in branches
        )
        self.facts.issues["if: return True, else: return False"] += booleans

    def _assert(self, node: ast.Assert, loops: int) -> None:
        self.facts.asserts += 1

    def _global(self, node: ast.Global, loops: int) -> None:
        self.facts.issues["global"] += 1
