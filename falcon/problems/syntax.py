"""Syntax of reference solutions and test code: do they parse, do they define what is called.

Nothing is run here.
"""

import ast
import warnings
from collections.abc import Iterator

from falcon.problems.fault import FieldFault
from falcon.problems.problem import Problem


def parse(code: str) -> ast.Module:
    """Syntax tree of a program. Raises SyntaxError for everything Python cannot read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes such as "\d" in foreign code
            return ast.parse(code)
    # Null bytes are a ValueError; deep nesting ends the parser in one of the other two.
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error) or type(error).__name__) from None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run at module level, those inside if, try, with and loops included."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With | ast.For | ast.While):
            for part in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, part, []))


def defined_functions(tree: ast.Module) -> set[str]:
    """Names of the functions defined at module level."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in _statements(tree.body) if isinstance(node, kinds)}


def defined_names(tree: ast.Module) -> set[str]:
    """Every name bound at module level: functions, classes, assignments, imports."""
    names = defined_functions(tree)
    for node in _statements(tree.body):
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            # Store: the names that are assigned to, not those on the right.
            stored = (n for n in ast.walk(node) if isinstance(getattr(n, "ctx", None), ast.Store))
            names |= {n.id for n in stored if isinstance(n, ast.Name)}
    return names


def solution_methods(tree: ast.Module) -> set[str]:
    """Names of the methods of a class ``Solution``, of which APPS's checker takes a function."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    bodies = [node.body for node in classes if node.name == "Solution"]
    return {n.name for body in bodies for n in body if isinstance(n, ast.FunctionDef)}


def called_function(statement: str, defined: set[str]) -> str:
    """The outermost function that ``statement`` calls and ``defined`` holds, else "".

    Raises SyntaxError when the statement does not parse.
    """
    for node in ast.walk(parse(statement)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in defined
        ):
            return node.func.id
    return ""


def _where(error: SyntaxError) -> str:
    return f" (line {error.lineno}: {error.msg})" if error.lineno else f" ({error.msg})"


def reference_faults(problem: Problem) -> list[FieldFault]:
    """Faults of a problem's references and of the name its tests call."""
    faults = []
    tests = problem.tests
    # "Solution().twoSum" needs a class Solution.
    called = "" if tests.kind == "stdin" else tests.entry_point.partition("().")[0]
    if called and problem.entry_point and called != problem.entry_point:
        message = f"`{called}` is not the problem's entry_point `{problem.entry_point}`"
        faults.append(("tests.entry_point", message))
    entry_point = called or ("" if tests.kind == "stdin" else problem.entry_point)
    for number, code in enumerate(problem.solutions):
        field = f"solutions.{number}"
        try:
            tree = parse(code)
        except SyntaxError as error:
            faults.append((field, f"the reference does not parse{_where(error)}"))
            continue
        names = defined_names(tree)
        if tests.kind == "call" and tests.rule.startswith("apps"):
            names |= solution_methods(tree)
        if entry_point and entry_point not in names:
            faults.append((field, f"the reference does not define the entry point `{entry_point}`"))
    return faults


def suite_faults(problem: Problem) -> list[FieldFault]:
    """Faults of a problem's test code: parts that do not parse, a ``check`` that is not defined."""
    tests = problem.tests
    parts = [("prelude", tests.prelude)]
    if tests.kind == "code":
        parts += [("setup", tests.setup), ("check", tests.check)]
        parts += [(f"asserts.{number}", code) for number, code in enumerate(tests.asserts)]
    faults = []
    for part, code in parts:
        try:
            tree = parse(code)
        except SyntaxError as error:
            faults.append((f"tests.{part}", f"does not parse{_where(error)}"))
            continue
        if part == "check" and code and "check" not in defined_names(tree):
            faults.append(("tests.check", "the test code does not define `check`"))
    return faults
