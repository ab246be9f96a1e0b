"""The compile helper: source in, marshalled code or a syntax error out.

Compiling happens here and not in the child, so that a syntax error is known before any of
the program runs (nothing it does can fake one) and a source that kills the compiler kills
only this process, which the worker restarts.
"""

from __future__ import annotations

import json
import marshal
import os
import re
import types
import warnings
from typing import Any

from . import frames
from .function_body import in_function

SOURCE_NAME = "<program>"
RETURNS = "\udc00"
"""Before a source: it may return at its top level. No source that compiles begins so."""
CODE, NUMPY_CODE, BAD, FATAL = b"K", b"N", b"S", b"X"
_UNFIT = re.compile("[\0\ud800-\udfff]")


def _imports_numpy(code: types.CodeType) -> bool:
    if any(name == "numpy" or name.startswith("numpy.") for name in code.co_names):
        return True
    return any(_imports_numpy(c) for c in code.co_consts if isinstance(c, types.CodeType))


def _bad(kind: str, line: int, message: str) -> bytes:
    return json.dumps({"type": kind, "line": line, "message": message}).encode()


def _code(source: str, *, returns: bool) -> types.CodeType:
    try:
        return compile(source, SOURCE_NAME, "exec", dont_inherit=True)
    except SyntaxError:
        tree = in_function(source) if returns else None
        if tree is None:
            raise
    return compile(tree, SOURCE_NAME, "exec", dont_inherit=True)


def _compile(source: str) -> bytes:
    returns = source.startswith(RETURNS)
    source = source.removeprefix(RETURNS)
    if source.startswith("\ufeff"):
        source = source[1:]
    found = _UNFIT.search(source)
    if found:
        before = source[: found.start()]
        line = before.count("\n") + before.count("\r") - before.count("\r\n") + 1
        what = "a null byte" if found.group() == "\0" else "a lone surrogate"
        return BAD + _bad("SyntaxError", line, f"source code cannot contain {what}")
    try:
        code = _code(source, returns=returns)
        kind = NUMPY_CODE if _imports_numpy(code) else CODE
        return kind + marshal.dumps(code)
    except SyntaxError as fault:
        return BAD + _bad(type(fault).__name__, fault.lineno or 0, str(fault.msg))
    except (MemoryError, RecursionError) as fault:
        return FATAL + _bad("SyntaxError", 0, f"too complex to compile ({type(fault).__name__})")
    except (ValueError, OverflowError) as fault:
        return BAD + _bad("SyntaxError", 0, str(fault))


def serve(channel: int, _config: dict[str, Any]) -> None:
    """Answer one frame for each source until the worker closes the channel."""
    warnings.simplefilter("ignore")
    while True:
        try:
            source = frames.read(channel).decode("utf-8", "surrogatepass")
        except frames.Closed:
            return
        answer = _compile(source)
        frames.write(channel, answer)
        if answer[:1] == FATAL:
            os._exit(0)
