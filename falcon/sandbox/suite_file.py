"""Suite file: tests as a user writes them, in Python or JSON, as a Suite.

Python: see ``python_tests``. JSON: a list of ``{"stdin": ..., "expected": ...}``, or a suite as
problem files hold it.
"""

import ast
import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from falcon.errors import UserError
from falcon.sandbox.python_tests import CANDIDATE, FORMS, read_tests
from falcon.sandbox.wire.records import bound_names, builtin_names, free_names, tests_nothing
from falcon.suite import CallSuite, CodeSuite, StdinSuite, Suite

_ANY: TypeAdapter[Suite] = TypeAdapter(Suite)


def read_suite(path: Path, *, entry_point: str = "", program: str = "") -> Suite:
    """Read a file of tests. ``entry_point`` is the function of the program that they test: what
    ``check(candidate)`` is given, and what tests call by that name or by ``candidate``;
    ``program``: the module that they may import it from.

    Raises UserError for a file that is absent, malformed or holds no test, for a test that cannot
    be run, and for an entry point that the tests do not call.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        reason = getattr(fault, "strerror", None) or "is not UTF-8 text"
        raise UserError(f"{path}: {reason}.", hint="Give a file of tests.") from None
    is_json = path.suffix == ".json"
    suite = _from_json(path, text) if is_json else read_tests(path, text, program)
    if not entry_point or isinstance(suite, StdinSuite):
        return suite
    if isinstance(suite, CodeSuite) and suite.asserts:
        suite = _about(path, suite, entry_point)
    return suite.model_copy(update={"entry_point": entry_point})


def _about(path: Path, suite: CodeSuite, name: str) -> CodeSuite:
    """Asserts that call ``name``, or call it ``candidate``. Raises UserError where they do not."""
    names = names_of(suite)
    if name not in names and CANDIDATE in names:
        setup = f"{suite.setup}\n{CANDIDATE} = {name}"
        return suite.model_copy(update={"setup": setup})
    if name not in names | builtins_of(suite):
        others = ", ".join(f"`{each}`" for each in sorted(names)) or "nothing of the program"
        raise UserError(
            f"{path}: the tests do not call the program's `{name}`.",
            hint=f"They use {others}: name that, or leave `{name}` to the program.",
        )
    return suite


def names_of(suite: CodeSuite) -> set[str]:
    """Names that asserts take from the program."""
    return free_names("\n".join((suite.setup, *suite.asserts)))


def builtins_of(suite: CodeSuite) -> set[str]:
    """Functions of Python's own that test code uses and does not define itself."""
    return builtin_names("\n".join((suite.setup, suite.check, *suite.asserts)))


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
    names = names_of(suite)
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
        raise UserError(f"{path}: not valid JSON ({fault}).", hint=FORMS) from None
    if isinstance(tree, list):
        for number, row in enumerate(tree, 1):
            # Left out it would be read as "prints nothing".
            if isinstance(row, dict) and "expected" not in row:
                raise UserError(f"{path}: test {number} has no `expected`.", hint=FORMS)
        tree = {"kind": "stdin", "runs": tree}
    try:
        return _ANY.validate_python(tree)
    except ValidationError as fault:
        first = fault.errors()[0]
        # The list is `runs` only in our own form: a user's path begins at the row.
        ours = ("stdin", "runs", "call", "code")
        where = [str(part) for part in first["loc"] if part not in ours]
        at = f" `{'.'.join(where)}`:" if where else ""
        raise UserError(f"{path}:{at} {first['msg']}.", hint=FORMS) from None
