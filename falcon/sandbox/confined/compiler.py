"""The compiler: source in, marshalled code or a syntax error out.

Compiling happens here and not in the child, so that a syntax error is known before any of the
program runs (nothing it does can fake one). A source that kills the compiler kills only this
process, which the worker restarts.
"""

import ast
import json
import marshal
import os
import re
import types
import warnings
from collections.abc import Iterator

from ..wire import frames
from ..wire.messages import RETURNS, SOURCE_NAME
from ..wire.messages import CompilerAnswer as Answer

_UNFIT = re.compile("[\0\ud800-\udfff]")
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_FORM = "def code():\n    pass\ncode()"  # the name that checker gives it: a program may see it


def _top_level(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes that are in no function or class."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        pending += [n for n in ast.iter_child_nodes(node) if not isinstance(n, _SCOPES)]


def _importing_lines(source: str) -> int:
    """How many lines at the beginning are imports; 0 where all lines are."""
    for number, line in enumerate(source.splitlines()):
        if not line.startswith(("from ", "import ")):
            return number
    return 0


def _in_function(source: str) -> ast.Module | None:
    """The program as a function and its call; None unless it parses and returns at its top level.

    So the checker of APPS runs programs: the import lines at the beginning stay outside, all else
    goes into a function. We change the syntax tree and not the text, so that line numbers and
    strings of several lines stay as they are. Raises what the parser raises for a source too deep.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    if not any(isinstance(node, ast.Return) for node in _top_level(tree)):
        return None
    imports = _importing_lines(source)
    outside = [node for node in tree.body if node.lineno <= imports]
    body = tree.body[len(outside) :]
    if not body:
        return None
    form = ast.parse(_FORM)
    for node in ast.walk(form):
        ast.copy_location(node, body[0])
    function = form.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = body
    return ast.Module([*outside, *form.body], tree.type_ignores)


def _imports_numpy(code: types.CodeType) -> bool:
    if any(name == "numpy" or name.startswith("numpy.") for name in code.co_names):
        return True
    return any(_imports_numpy(c) for c in code.co_consts if isinstance(c, types.CodeType))


def _error(kind: str, line: int, message: str) -> bytes:
    return json.dumps({"type": kind, "line": line, "message": message}).encode()


def _code(source: str, *, returns: bool) -> types.CodeType:
    try:
        return compile(source, SOURCE_NAME, "exec", dont_inherit=True)
    except SyntaxError:
        tree = _in_function(source) if returns else None
        if tree is None:
            raise
    return compile(tree, SOURCE_NAME, "exec", dont_inherit=True)


def _compile(source: str) -> bytes:
    returns = source.startswith(RETURNS)
    source = source.removeprefix(RETURNS).removeprefix("\ufeff")
    unfit = _UNFIT.search(source)
    if unfit:
        # compile() says less, and not the same in each version of Python.
        before = source[: unfit.start()]
        line = before.count("\n") + before.count("\r") - before.count("\r\n") + 1
        what = "a null byte" if unfit.group() == "\0" else "a lone surrogate"
        return Answer.BAD + _error("SyntaxError", line, f"source code cannot contain {what}")
    try:
        code = _code(source, returns=returns)
        kind = Answer.NUMPY_CODE if _imports_numpy(code) else Answer.CODE
        return kind + marshal.dumps(code)
    except SyntaxError as fault:
        return Answer.BAD + _error(type(fault).__name__, fault.lineno or 0, str(fault.msg))
    except (MemoryError, RecursionError) as fault:
        what = f"too complex to compile ({type(fault).__name__})"
        return Answer.FATAL + _error("SyntaxError", 0, what)
    except (ValueError, OverflowError) as fault:
        return Answer.BAD + _error("SyntaxError", 0, str(fault))


def serve(channel: int) -> None:
    """Answer one frame for each source until the worker closes the channel."""
    warnings.simplefilter("ignore")
    inbox = frames.Inbox(channel)
    while True:
        try:
            source = inbox.read().decode("utf-8", "surrogatepass")
        except frames.Closed:
            return
        answer = _compile(source)
        frames.write(channel, answer)
        if answer[:1] == Answer.FATAL:
            os._exit(0)  # memory may be short from now on: a fresh process is safer
