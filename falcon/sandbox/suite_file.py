"""Suite file: tests as a user writes them, in Python or JSON, as a Suite.

Python: assert statements, functions named ``test_...`` without arguments, or HumanEval's
``check(candidate)``. JSON: a list of ``{"stdin": ..., "expected": ...}``, or a suite as problem
files hold it. A Python file is parsed here and never run; pytest's fixtures are not known.
"""

import ast
import json
from pathlib import Path
from typing import Any, TypeGuard

from pydantic import TypeAdapter, ValidationError

from falcon.errors import UserError
from falcon.sandbox.wire.records import bound_names, free_names, tests_nothing
from falcon.suite import CallSuite, CodeSuite, StdinSuite, Suite

# Entry point of a ``check`` whose file does not say what it is given.
CANDIDATE = "candidate"
_ANY: TypeAdapter[Suite] = TypeAdapter(Suite)
_FORMS = (
    "Write assert statements or check(candidate) into a .py file, or a list of "
    '{"stdin": "...", "expected": "..."} into a .json file.'
)


def read_suite(path: Path, *, entry_point: str = "") -> Suite:
    """Read a file of tests. ``entry_point`` is what ``check(candidate)`` is given.

    Raises UserError for a file that is absent, malformed or holds no test.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        reason = getattr(fault, "strerror", None) or "is not UTF-8 text"
        raise UserError(f"{path}: {reason}.", hint="Give a file of tests.") from None
    suite = _from_json(path, text) if path.suffix == ".json" else _from_python(path, text)
    if isinstance(suite, CodeSuite) and suite.check and entry_point:
        return suite.model_copy(update={"entry_point": entry_point})
    return suite


def labels(suite: Suite, count: int) -> list[str]:
    """A short name for each of ``count`` tests of a suite, in their order.

    Test code may evaluate an assert several times; where the number does not agree with
    what is written, tests are only numbered.
    """
    if isinstance(suite, CallSuite):
        named = [
            f"{suite.entry_point}({', '.join(map(repr, call.args))}) == {call.expected!r}"
            for call in suite.calls
        ]
    elif isinstance(suite, StdinSuite):
        named = [f"{run.stdin!r} prints {run.expected!r}" for run in suite.runs]
    else:
        sources = (suite.check,) if suite.check else suite.asserts
        taken = bound_names("\n".join((suite.setup, *sources))) | {suite.entry_point}
        nodes = _asserts(suite.check) if suite.check else map(_last, suite.asserts)
        named = [_one_line(node) for node in nodes if node and not _is_idle(node, taken)]
    numbered = [f"test {number}" for number in range(1, count + 1)]
    return named if len(named) == count else numbered


def called(suite: CodeSuite) -> str:
    """The one name that test code takes from the program, "" when there are several or none."""
    names = free_names("\n".join((suite.setup, *suite.asserts)))
    return next(iter(names)) if len(names) == 1 else ""


def _asserts(code: str) -> list[ast.stmt]:
    return [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Assert)]


def _last(code: str) -> ast.stmt | None:
    body = ast.parse(code).body
    return body[-1] if body else None


def _is_idle(node: ast.stmt, taken: set[str]) -> bool:
    return isinstance(node, ast.Assert) and tests_nothing(node, taken)


def _one_line(node: ast.stmt) -> str:
    return ast.unparse(node).splitlines()[0]


def _from_json(path: Path, text: str) -> Suite:
    try:
        tree: Any = json.loads(text)
    except ValueError as fault:
        raise UserError(f"{path}: not valid JSON ({fault}).", hint=_FORMS) from None
    if isinstance(tree, list):
        for number, row in enumerate(tree, 1):
            # Left out it would be read as "prints nothing".
            if isinstance(row, dict) and "expected" not in row:
                raise UserError(f"{path}: test {number} has no `expected`.", hint=_FORMS)
        tree = {"kind": "stdin", "runs": tree}
    try:
        return _ANY.validate_python(tree)
    except ValidationError as fault:
        first = fault.errors()[0]
        # The list is `runs` only in our own form: a user's path begins at the row.
        ours = ("stdin", "runs", "call", "code")
        where = [str(part) for part in first["loc"] if part not in ours]
        at = f" `{'.'.join(where)}`:" if where else ""
        raise UserError(f"{path}:{at} {first['msg']}.", hint=_FORMS) from None


def _from_python(path: Path, text: str) -> CodeSuite:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as fault:
        line = getattr(fault, "lineno", None)
        where = f", line {line}" if line else ""
        raise UserError(f"{path}{where}: {getattr(fault, 'msg', fault)}.", hint=_FORMS) from None
    if any(_is_function(node) and node.name == "check" for node in tree.body):
        return _checked(tree, text)
    suite = _asserted(tree)
    if suite is None:
        raise UserError(f"{path}: no test in it.", hint=_FORMS)
    return suite


def _checked(tree: ast.Module, text: str) -> CodeSuite:
    """HumanEval's form. A call ``check(name)`` at the end names the entry point."""
    names = [name for node in tree.body if (name := _checks(node))]
    if names:
        text = ast.unparse(ast.Module([node for node in tree.body if not _checks(node)], []))
    return CodeSuite(check=text, entry_point=names[0] if names else CANDIDATE)


def _asserted(tree: ast.Module) -> CodeSuite | None:
    """Imports, functions and classes go before the tests; others with the test after them."""
    setup: list[str] = []
    tests: list[str] = []
    waiting: list[str] = []
    for node in tree.body:
        if _is_function(node) and node.name.startswith("test") and _plain(node):
            tests.append("\n".join([*waiting, ast.unparse(node), f"{node.name}()"]))
            waiting = []
        elif isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef) or _is_function(node):
            setup.append(ast.unparse(node))
        elif any(isinstance(inner, ast.Assert) for inner in ast.walk(node)):
            tests.append("\n".join([*waiting, ast.unparse(node)]))
            waiting = []
        else:
            waiting.append(ast.unparse(node))
    if not tests:
        return None
    tests[-1] = "\n".join([tests[-1], *waiting])
    return CodeSuite(asserts=tuple(tests), setup="\n".join(setup))


def _is_function(node: ast.stmt) -> TypeGuard[ast.FunctionDef]:
    return isinstance(node, ast.FunctionDef)


def _plain(node: ast.FunctionDef) -> bool:
    """Whether it can be called as it stands."""
    given = node.args
    return not (given.args or given.posonlyargs or given.kwonlyargs or node.decorator_list)


def _checks(node: ast.stmt) -> str:
    """NAME of a statement ``check(NAME)``, else ""."""
    match node:
        case ast.Expr(ast.Call(ast.Name("check"), [ast.Name(name)])):
            return name
    return ""
