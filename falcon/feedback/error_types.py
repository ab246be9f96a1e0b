"""Error types, and which part of a program an error is about.

The memories count errors under these names (e of eq. 9). The span classes follow RLTF's
fine-grained table (U_ignore, U_line, U_global), restated for the messages of current CPython.
Unlike in RLTF, line numbers come from the sandbox, so errors raised while the program loads
have a line, too. The memories count how often an error occurs, not this module.
"""

import builtins
import re
from typing import Literal

from falcon.feedback.reward import Span
from falcon.feedback.spans import first_occurrence, line_count, line_span, whole_span
from falcon.sandbox.verdict import ErrorInfo, Outcome, Verdict

LineMatching = Literal["exact", "first_occurrence"]
ERROR_TYPES = (
    "syntax",
    "indentation",
    "name",
    "type",
    "index",
    "key",
    "value",
    "attribute",
    "zero-division",
    "import",
    "eof",
    "recursion",
    "timeout",
    "memory",
    "assertion",
    "other-runtime",
    "wrong-answer",
)
"""Every value :func:`error_type` can take besides ""."""


def uniform_error_share() -> dict[str, float]:
    """P_error of eq. 9 without a memory that has counted errors: every type alike."""
    return dict.fromkeys(ERROR_TYPES, 1 / len(ERROR_TYPES))


SpanClass = Literal["ignore", "line", "whole"]

_BY_EXCEPTION = {
    "NameError": "name",
    "TypeError": "type",
    "IndexError": "index",
    "KeyError": "key",
    "ValueError": "value",
    "AttributeError": "attribute",
    "ZeroDivisionError": "zero-division",
    "ImportError": "import",
    "EOFError": "eof",
    "RecursionError": "recursion",
    "MemoryError": "memory",
    "AssertionError": "assertion",
    "IndentationError": "indentation",
    "SyntaxError": "syntax",
}
_FOREIGN = {"JSONDecodeError": "value", "TimeoutException": "timeout"}  # no built-in classes

# RLTF's messages (of CPython 3.8), each followed by that of CPython 3.10 and later.
_SYNTAX_IGNORED = (
    "inconsistent use of tabs",
    "unindent does not match",
    "eof while scanning triple-quoted",
    "unterminated triple-quoted",
    "duplicate argument",
    "import * only allowed at module level",
)
_SYNTAX_WHOLE_AT_END = (
    "unexpected eof",
    "invalid syntax",
    "eol while scanning string",
    "unterminated string literal",
    "was never closed",
    "expected ':'",
    "expected 'except' or 'finally' block",
)
_NO_BLOCK = re.compile(r"expected an indented block after .* on line (\d+)")
# Group 1 or 2: the name or module that could not be imported.
_NAMED_IN_IMPORT = re.compile(r"cannot import name '?(\w+)|No module named '?([\w.]+)")
_UNFIT_CALL = re.compile(
    r"(?:\w+\.)*(\w+)\(\) (?:missing \d+ required|takes \d+ |takes from \d+ "
    r"|got an unexpected keyword|got multiple values|got some positional-only)"
)


def error_of(verdict: Verdict) -> ErrorInfo | None:
    """The error behind the verdict's outcome: its own, else that of the first case so ended."""
    if verdict.error is not None:
        return verdict.error
    return next(
        (c.error for c in verdict.cases if c.error is not None and c.outcome is verdict.outcome),
        None,
    )


def _of_exception(name: str) -> str:
    """Error type of an exception class; a built-in subclass counts as its ancestor."""
    short = name.rpartition(".")[2]
    if short in _FOREIGN:
        return _FOREIGN[short]
    built_in = getattr(builtins, short, None)
    if isinstance(built_in, type) and issubclass(built_in, BaseException):
        for ancestor in built_in.__mro__:  # nearest first: UnicodeError is a ValueError
            if ancestor.__name__ in _BY_EXCEPTION:
                return _BY_EXCEPTION[ancestor.__name__]
    return "other-runtime"


def error_type(verdict: Verdict) -> str:
    """The one of :data:`ERROR_TYPES` that a verdict counts as; "" for a pass or sandbox fault."""
    error = error_of(verdict)
    match verdict.outcome:
        case Outcome.PASS | Outcome.SANDBOX_ERROR:
            return ""
        case Outcome.WRONG_ANSWER | Outcome.UNSERIALISABLE | Outcome.PROTOCOL_VIOLATION:
            return "wrong-answer"
        case Outcome.SYNTAX_ERROR:
            # The compiler also raises ValueError and the like (NUL bytes): these count as syntax.
            kind = _of_exception(error.type) if error else "syntax"
            return kind if kind == "indentation" else "syntax"
        case Outcome.TIMEOUT:
            return "timeout"
        case Outcome.MEMORY:
            return "memory"
        case Outcome.RUNTIME_ERROR:
            return _of_exception(error.type) if error else "other-runtime"
        case _:
            return "other-runtime"


def error_line(verdict: Verdict, program: str, matching: LineMatching = "exact") -> int:
    """Line of the program where the error is, from 1; 0 when it is unknown or out of range.

    A failed import without a line is located at the first line that names it. A call by the tests
    that does not fit the function's parameters fails outside of the program; it is located at the
    (last) definition of the function, but not with ``first_occurrence``, as RLTF ignores it.
    """
    error = error_of(verdict)
    if error is None or error_type(verdict) == "":
        return 0
    if error.line and line_span(program, error.line) is not None:
        return error.line
    if named := _NAMED_IN_IMPORT.search(error.message):
        name = re.escape(named[1] or named[2])
        place = re.search(rf"(?m)^.*\b{name}\b", program)
        return line_count(program[: place.end()]) if place else 0
    return _definition_line(error, program) if matching == "exact" else 0


def _definition_line(error: ErrorInfo, program: str) -> int:
    """Line of the function that a call did not fit; 0 for other errors and other functions."""
    unfit = _UNFIT_CALL.match(error.message) if error.type == "TypeError" else None
    if unfit is None:
        return 0
    heads = list(re.finditer(rf"(?m)^[ \t]*(?:async[ \t]+)?def[ \t]+{unfit[1]}\b", program))
    return line_count(program[: heads[-1].end()]) if heads else 0


def _syntax_class(error: ErrorInfo, program: str) -> SpanClass:
    message = error.message.lower()
    if any(part in message for part in _SYNTAX_IGNORED):
        return "ignore"
    # An error at the end of the text means that the program was cut off: no line is to blame.
    last = error.line >= line_count(program.rstrip())
    # If the text ends after a colon, CPython reports the line of the colon itself.
    no_block = _NO_BLOCK.search(message)
    cut = no_block is not None and int(no_block[1]) == error.line
    if last and (cut or any(part in message for part in _SYNTAX_WHOLE_AT_END)):
        return "whole"
    return "line"


def span_class(verdict: Verdict, program: str, matching: LineMatching = "exact") -> SpanClass:
    """Which part of the program an error is about (RLTF, table of fine-grained feedback).

    ``whole`` for time-outs, recursion and memory without a line; ``line`` for every error
    with a known, non-blank line; ``ignore`` for passes, wrong answers, plain RuntimeError,
    deaths without an exception, and errors whose line is unknown.
    """
    kind = error_type(verdict)
    if kind in ("", "wrong-answer"):
        return "ignore"
    if kind in ("timeout", "recursion"):
        return "whole"
    error = error_of(verdict)
    if error is None or verdict.outcome in (Outcome.SIGNAL, Outcome.PREMATURE_EXIT):
        return "whole" if kind == "memory" else "ignore"
    if error.type.rpartition(".")[2] == "RuntimeError" or verdict.outcome is Outcome.OUTPUT_LIMIT:
        return "ignore"
    if verdict.outcome is Outcome.SYNTAX_ERROR:
        part = _syntax_class(error, program)
        if part != "line":
            return part
    span = line_span(program, error_line(verdict, program, matching))
    if span is not None and program[span.start : span.end].strip():
        return "line"
    return "whole" if kind == "memory" else "ignore"


def error_span(
    verdict: Verdict, program: str, matching: LineMatching = "exact"
) -> tuple[Span | None, str]:
    """The text that an error is about, by :func:`span_class`, and its place in words.

    ``first_occurrence`` searches for the text of the line, as RLTF does, and so may find an equal
    line before it.
    """
    part = span_class(verdict, program, matching)
    if part == "whole":
        return whole_span(program), "whole program"
    if part == "ignore":
        return None, "no place in the text"
    line = error_line(verdict, program, matching)
    if matching == "first_occurrence":
        return first_occurrence(program, line), f"first text like line {line}"
    return line_span(program, line), f"line {line}"
