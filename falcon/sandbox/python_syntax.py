"""Syntax of files of tests: what a statement calls, binds and asserts, and text for new ones."""

import ast
from collections.abc import Iterator, Sequence

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Function = ast.FunctionDef | ast.AsyncFunctionDef
_SCOPES = (*FUNCTIONS, ast.Lambda)


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a statement that run when it runs: functions in it do not."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _SCOPES):
            yield from executed(child)


def asserts(node: ast.AST, *, inside: bool = False) -> bool:
    """Whether a statement asserts something when it runs, raises or exits; ``inside``: whether a
    function in it asserts something."""
    if inside:
        return any(map(_asserts, ast.walk(node)))
    if isinstance(node, _SCOPES):
        return False
    return any(_asserts(n) or _ends(n) for n in executed(node))


def _ends(node: ast.AST) -> bool:
    return isinstance(node, ast.Raise) or (
        isinstance(node, ast.Call) and dotted(node)[-1] == "exit"
    )


def _asserts(node: ast.AST) -> bool:
    """A statement, or a call of what pytest, unittest and numpy have for it."""
    name = dotted(node)[-1] if isinstance(node, ast.Call) else ""
    return isinstance(node, ast.Assert) or name.startswith("assert") or name in ("raises", "warns")


def called(node: ast.stmt) -> set[str]:
    """Names that a statement calls, or passes on in a call."""
    if isinstance(node, _SCOPES):
        return set()
    calls = [n for n in executed(node) if isinstance(n, ast.Call)]
    return {n.id for call in calls for n in ast.walk(call) if isinstance(n, ast.Name)}


def reaching(nodes: Sequence[Function | ast.ClassDef], names: set[str]) -> set[str]:
    """``names``, and those of the functions and classes that use one of them, however far."""
    uses = {n.name: {x.id for x in ast.walk(n) if isinstance(x, ast.Name)} for n in nodes}
    while more := {name for name, used in uses.items() if used & names} - names:
        names = names | more
    return names


def bound(node: ast.stmt) -> set[str]:
    """Names that a statement binds."""
    names = {
        n.id for n in executed(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    return names | {n.name for n in executed(node) if isinstance(n, (*FUNCTIONS, ast.ClassDef))}


def read(node: ast.stmt) -> set[str]:
    """Names that a statement reads when it runs."""
    names = (n for n in executed(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
    return set() if isinstance(node, (*_SCOPES, ast.ClassDef)) else {n.id for n in names}


def needed(node: ast.stmt) -> set[str]:
    """Names that a definition needs when it runs; of a class all."""
    parts: Sequence[ast.AST] = [node]
    if isinstance(node, FUNCTIONS):
        parts = [*node.decorator_list, node.args, *([node.returns] if node.returns else [])]
    return {n.id for part in parts for n in ast.walk(part) if isinstance(n, ast.Name)}


def required(node: Function) -> list[str]:
    """Parameters without a default."""
    given = node.args
    plain = [each.arg for each in (*given.posonlyargs, *given.args)]
    plain = plain[: len(plain) - len(given.defaults)]
    named = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    return plain + [each.arg for each, default in named if default is None]


def dotted(node: ast.AST) -> list[str]:
    """The parts of a dotted name, or of the name that a call calls; [""] for anything else."""
    match node:
        case ast.Name(name):
            return [name]
        case ast.Attribute(owner, name):
            return [*dotted(owner), name]
        case ast.Call(function):
            return dotted(function)
    return [""]


def is_parametrize(decorator: ast.expr) -> bool:
    """Whether it is pytest's ``parametrize``."""
    return dotted(decorator)[-1] == "parametrize"


def is_generator(node: Function) -> bool:
    """Whether a call of it runs nothing yet."""
    inner = (
        n
        for statement in node.body
        if not isinstance(statement, _SCOPES)
        for n in executed(statement)
    )
    return any(isinstance(n, ast.Yield | ast.YieldFrom) for n in inner)


def parameters(loop: ast.expr) -> tuple[list[str], str] | None:
    """Names of a ``parametrize`` and the expression of their values; None for other forms."""
    match loop:
        case ast.Call(_, [names, values], _):
            try:
                plain = ast.literal_eval(names)
            except ValueError:
                return None
            if isinstance(plain, str):
                plain = [name.strip() for name in plain.split(",") if name.strip()]
            if isinstance(plain, list | tuple):
                return [str(name) for name in plain], ast.unparse(values)
    return None


def parsed(text: str) -> list[ast.stmt]:
    """Statements of a text."""
    return ast.parse(text).body


def source(nodes: Sequence[ast.stmt]) -> str:
    """Text of statements."""
    return "\n".join(map(ast.unparse, nodes))


def without_main_guard(body: Sequence[ast.stmt]) -> tuple[list[ast.stmt], list[ast.stmt]]:
    """The statements of a module, and those under ``if __name__ == "__main__":``."""
    rest: list[ast.stmt] = []
    guarded: list[ast.stmt] = []
    for node in body:
        match node:
            case ast.If(
                ast.Compare(ast.Name("__name__"), [ast.Eq()], [ast.Constant("__main__")])
            ) | ast.If(ast.Compare(ast.Constant("__main__"), [ast.Eq()], [ast.Name("__name__")])):
                guarded += node.body
                rest += node.orelse
            case _:
                rest.append(node)
    return rest, guarded
