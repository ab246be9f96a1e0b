"""Syntax: the tree of a program, parsed once for all that need it."""

import ast
import threading
import warnings
from functools import lru_cache

MAX_CHARACTERS = 32_768
"""Longest program that is parsed."""

_WARNINGS = threading.Lock()  # catch_warnings changes the state of the whole process


@lru_cache(maxsize=256)
def parse(program: str) -> tuple[ast.Module | None, str]:
    """Syntax tree of a program, or None and the reason why there is none. The tree is shared:
    read only."""
    if len(program) > MAX_CHARACTERS:
        return None, f"too long to analyse: {len(program)} characters, limit {MAX_CHARACTERS}"
    try:
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # The compiler skips a byte order mark in bytes, but not in a str.
            return ast.parse(program.removeprefix("\ufeff")), ""
    except SyntaxError as fault:
        return None, f"does not parse: {fault.msg} (line {fault.lineno or 0})"
    except (ValueError, RecursionError, MemoryError, OverflowError) as fault:
        return None, f"does not parse: {type(fault).__name__}"
