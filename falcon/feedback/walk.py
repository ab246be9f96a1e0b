"""Walk: the pass over a syntax tree that fills :class:`falcon.feedback.facts.Facts`.

One pass over the flat list of :mod:`falcon.feedback.nodes`, with a handler for each type of node
that matters. What ruff finds (unused names, idioms, layout) is not searched for here.
"""

import ast
from collections.abc import Callable
from typing import Any

from falcon.feedback.facts import Facts
from falcon.feedback.nodes import nodes_of

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_HOLDERS = (ast.Module, ast.ClassDef, *_FUNCTIONS)
_JUMPS = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_EFFORT = frozenset(
    (
        ast.AugAssign,
        ast.Await,
        ast.BinOp,
        ast.BoolOp,
        ast.Call,
        ast.Compare,
        ast.For,
        ast.IfExp,
        ast.JoinedStr,
        ast.Match,
        ast.Subscript,
        ast.While,
        ast.Yield,
        ast.YieldFrom,
        *_COMPREHENSIONS,
    )
)
"""Nodes that compute something wherever they are; :func:`_works` decides on the others."""
_CHECKS = frozenset((ast.Raise, ast.Assert))  # they compute no result, so they are no effort
_FRAMES = frozenset((ast.For, ast.AsyncFor, ast.While, *_COMPREHENSIONS, *_FUNCTIONS, ast.ClassDef))
_BLOCKS = frozenset(
    (
        *(ast.For, ast.AsyncFor, ast.While, ast.If, ast.Try, ast.TryStar, ast.With, ast.AsyncWith),
        *(ast.ExceptHandler, ast.match_case),
        *_HOLDERS,
    )
)
_DEAD, _ASIDE, _UNCOUNTED = 1, 2, 4
"""Bits of a node's mark: in code without effect; in code that is no effort (checks, annotations);
not counted itself. The first two also hold for the nodes below."""
_NEVER_COUNTED = frozenset((ast.arguments, ast.Module, ast.Pass))
_SLOW_METHODS = frozenset({"count", "index", "sort", "remove"})


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


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


def _dotted(node: ast.AST) -> str:
    """``a.b.c`` of a chain of attributes; ``.b.c`` if it starts at another expression."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts.append(node.id if isinstance(node, ast.Name) else "")
    return ".".join(reversed(parts))


class Walk:
    """Fills ``facts`` from a program's nodes; ``docstrings`` are first and last lines of each."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.docstrings: list[tuple[int, int]] = []
        # Set by a node for nodes below it, by id() (the tree keeps them alive); read once.
        self._marks: dict[int, int] = {}
        self._loops_at: dict[int, int] = {}  # loops around a node, if not those of its siblings

    def run(self, program: str) -> None:
        """Look at every node of the program's tree."""
        facts, marks, loops_at = self.facts, self._marks, self._loops_at
        nodes, parents, _ = nodes_of(program)
        inner = [0] * len(nodes)  # loops around the children of each node
        states = [0] * len(nodes)  # marks that each node has from itself and from above
        counted = dead = 0
        effort = facts.effort
        for at, node in enumerate(nodes):
            kind = type(node)
            parent = parents[at]
            # The root's parent is -1, the last node, whose entries are still 0.
            loops, state, mark = inner[parent], states[parent], 0
            if loops_at:  # mostly empty: cheaper than a look-up for each node
                loops = loops_at.pop(id(node), loops)
            if marks:
                mark = marks.pop(id(node), 0)
            if kind in _CHECKS:
                mark |= _ASIDE
            if mark:
                state |= mark & ~_UNCOUNTED
            states[at] = state
            inner[at] = self._inner(node, loops) if kind in _FRAMES else loops
            handler = _HANDLERS.get(kind)
            if handler is not None and not (mark & _UNCOUNTED and kind is ast.Constant):
                handler(self, node, loops)
            if kind in _BLOCKS:
                self._blocks(node)
            if mark & _UNCOUNTED:
                continue
            if kind not in _NEVER_COUNTED:
                counted += 1
                if state & _DEAD:
                    dead += 1
            if not effort and not state:  # live code, neither check nor annotation
                effort = kind in _EFFORT or _works(node, nodes[parent])
        facts.effort = effort
        facts.nodes, facts.dead_nodes = counted, dead
        facts.loop_depth = max(inner, default=0)

    def _mark(self, node: ast.AST, mark: int) -> None:
        self._marks[id(node)] = self._marks.get(id(node), 0) | mark

    def _inner(self, node: ast.AST, loops: int) -> int:
        """Loops around the children of a loop, comprehension, function or class."""
        if isinstance(node, (ast.For, ast.AsyncFor)):
            self._loops_at[id(node.iter)] = loops  # evaluated once, outside of the loop
            return loops + 1
        if isinstance(node, _COMPREHENSIONS):
            self._loops_at[id(node.generators[0].iter)] = loops
            return loops + len(node.generators)
        return loops + 1 if isinstance(node, ast.While) else 0  # a function starts anew

    def _blocks(self, owner: ast.AST) -> None:
        """Mark docstrings and statements without effect in the blocks of a node."""
        for name in ("body", "orelse", "finalbody"):
            body = getattr(owner, name, None)
            if not body:
                continue
            if name == "body" and isinstance(owner, _HOLDERS) and _is_docstring(body[0]):
                self.docstrings.append((body[0].lineno, body[0].end_lineno or body[0].lineno))
                has_text = bool(body[0].value.value.strip())
                self.facts.documented += has_text and isinstance(owner, _FUNCTIONS)
                self._mark(body[0], _UNCOUNTED)
                self._mark(body[0].value, _UNCOUNTED)
                body = body[1:]
            ended = False  # by a jump: what follows it is never reached
            for statement in body:
                if ended or _does_nothing(statement):
                    self.facts.dead_statements += 1
                    self._mark(statement, _DEAD)
                ended = ended or isinstance(statement, _JUMPS)

    def _name(self, node: ast.Name, loops: int) -> None:
        (self.facts.loaded if isinstance(node.ctx, ast.Load) else self.facts.stored).add(node.id)

    def _attribute(self, node: ast.Attribute, loops: int) -> None:
        value = node.value
        simple = type(value) is ast.Name
        name = f"{value.id}.{node.attr}" if simple else _dotted(node)  # type: ignore[attr-defined]
        self.facts.dotted.add(name)
        if not isinstance(node.ctx, ast.Load):
            self.facts.patched.add(name)

    def _call(self, node: ast.Call, loops: int) -> None:
        target = node.func
        if isinstance(target, ast.Name):
            self.facts.dotted.add(target.id + "()")
            self.facts.slow_in_loop += bool(loops) and target.id == "sorted"
        elif isinstance(target, ast.Attribute) and loops:
            first = node.args[0] if node.args else None
            at_front = isinstance(first, ast.Constant) and first.value == 0  # moves the whole list
            slow = target.attr in _SLOW_METHODS or (target.attr in ("pop", "insert") and at_front)
            self.facts.slow_in_loop += slow

    def _constant(self, node: ast.Constant, loops: int) -> None:
        self.facts.constants.append(node.value)

    def _function(self, node: Any, loops: int) -> None:
        self.facts.functions.append(node.name)
        arguments: ast.arguments = node.args
        each = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        for annotation in (node.returns, *(argument.annotation for argument in each)):
            if annotation is not None:
                self._mark(annotation, _ASIDE)

    def _module(self, node: ast.Module, loops: int) -> None:
        self.facts.outermost += [each.name for each in node.body if isinstance(each, _FUNCTIONS)]

    def _import(self, node: ast.Import, loops: int) -> None:
        for alias in node.names:
            self.facts.imported[alias.asname or alias.name.partition(".")[0]] = alias.name
            self.facts.modules.add(alias.name.partition(".")[0])

    def _import_from(self, node: ast.ImportFrom, loops: int) -> None:
        module = node.module or ""
        self.facts.modules.add(module.partition(".")[0])
        for alias in node.names:
            if alias.name != "*" and module != "__future__":
                self.facts.imported[alias.asname or alias.name] = f"{module}.{alias.name}"
                self.facts.dotted.add(f"{module}.{alias.name}")

    def _annotated(self, node: ast.AnnAssign, loops: int) -> None:
        self._mark(node.annotation, _ASIDE)

    def _counted(self, node: ast.For | ast.comprehension, loops: int) -> None:
        match node.iter:
            case ast.Call(ast.Name("range"), [ast.Call(ast.Name("len"))]):
                self.facts.issues["range(len(x))"] += isinstance(node.target, ast.Name)

    def _assert(self, node: ast.Assert, loops: int) -> None:
        self.facts.asserts += 1

    def _delete(self, node: ast.Delete, loops: int) -> None:
        for target in node.targets:
            if isinstance(target, ast.Tuple):
                self._mark(target, _UNCOUNTED)  # formatters write `del (a, b)` as `del a, b`


def _works(node: ast.AST, parent: ast.AST) -> bool:
    """Whether a node uses a name for more than to return or test it as it is."""
    if isinstance(node, ast.If):
        statements = (*node.body, *node.orelse)
        return not all(isinstance(each, (ast.Pass, ast.Expr)) for each in statements)
    reads = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    return reads and not isinstance(parent, (ast.Return, ast.If, ast.arguments, *_HOLDERS))


_HANDLERS: dict[type[ast.AST], Callable[[Walk, Any, int], None]] = {
    ast.Name: Walk._name,
    ast.Attribute: Walk._attribute,
    ast.Call: Walk._call,
    ast.Constant: Walk._constant,
    ast.Module: Walk._module,
    ast.FunctionDef: Walk._function,
    ast.AsyncFunctionDef: Walk._function,
    ast.Import: Walk._import,
    ast.ImportFrom: Walk._import_from,
    ast.AnnAssign: Walk._annotated,
    ast.For: Walk._counted,
    ast.comprehension: Walk._counted,
    ast.Assert: Walk._assert,
    ast.Delete: Walk._delete,
}
