"""Canonical forms of statements and programs, by which the same problem is recognised.

Purely textual and syntactic: no model, nothing is run.
"""

import ast
import re
from collections.abc import Iterator

from falcon.problems.problem import Problem
from falcon.problems.syntax import parse

_WORD = re.compile(r"[^\W\d_]\w*")  # begins with a letter of any script
_IMPORT = re.compile(r"^\s*(from\s+[\w.]+\s+import\b.*|import\s+[\w.]+.*)$", re.MULTILINE)

Span = tuple[str, int, int]  # A word in lower case and where it stands in the text


def words(text: str) -> list[str]:
    """Words in lower case, numbers and signs left out."""
    return [word.lower() for word in _WORD.findall(text)]


def statement_words(statement: str) -> list[str]:
    """Words of a statement without its import lines, which many prompts share."""
    return words(_IMPORT.sub("", statement))


def word_spans(text: str) -> list[Span]:
    """The words of :func:`words` with their places."""
    return [(match.group().lower(), *match.span()) for match in _WORD.finditer(text)]


def statement_word_spans(statement: str) -> list[Span]:
    """The words of :func:`statement_words` with their places."""
    # Blanks of the same length, so that the places hold in the statement itself.
    return word_spans(_IMPORT.sub(lambda match: " " * len(match.group()), statement))


class _Strip(ast.NodeTransformer):
    """Takes out docstrings, imports and annotations."""

    def visit_Import(self, node: ast.Import) -> None:
        return None  # a transformer deletes the node for which None comes back

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        return None

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None  # the annotation of what it returns
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        if node.value is None:
            return None  # `x: int` alone binds nothing
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)


def _own_names(tree: ast.Module) -> set[str]:
    """Names that the program itself binds."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.arg():
                names.add(node.arg)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.ExceptHandler(name=str(name)):
                names.add(name)
    return names


class _Rename(ast.NodeTransformer):
    """Numbers the program's own names in order of appearance; all others stay."""

    def __init__(self, own: set[str]) -> None:
        self._own = own
        self._numbers: dict[str, str] = {}

    def _new(self, name: str) -> str:
        if name not in self._own:
            return name
        return self._numbers.setdefault(name, f"_{len(self._numbers)}")

    def generic_visit(self, node: ast.AST) -> ast.AST:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                node.name = self._new(node.name)
            case ast.arg():
                node.arg = self._new(node.arg)
            case ast.Name():
                node.id = self._new(node.id)
            case ast.ExceptHandler(name=str(name)):
                node.name = self._new(name)
        return super().generic_visit(node)


def code_text(code: str) -> str:
    """A program without docstrings, comments, imports and annotations; as it is if broken."""
    try:
        tree = parse(code)
        return ast.unparse(ast.fix_missing_locations(_Strip().visit(tree)))
    except (SyntaxError, RecursionError):
        return code


def code_shape(code: str) -> str:
    """A program's syntax tree with its own names numbered: equal for renamed copies.

    Builtins, attributes and constants keep their names and values. "" if it does not parse.
    """
    try:
        tree = _Strip().visit(parse(code))
        # The dump has no lines and columns, so that layout does not count.
        return ast.dump(_Rename(_own_names(tree)).visit(tree))
    except (SyntaxError, RecursionError):
        return ""


def problem_forms(problem: Problem) -> Iterator[tuple[str, str]]:
    """(field, canonical form) of the statement and of each solution that parses."""
    # A statement of signs and numbers has no words: it is compared as it is.
    yield "statement", " ".join(statement_words(problem.statement)) or problem.statement
    for number, code in enumerate(problem.solutions):
        if shape := code_shape(code):
            yield f"solutions.{number}", shape
