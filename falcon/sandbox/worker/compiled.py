"""Compiled: a program as the compiler returned it, ready to be sent to children."""

import json
import re
from typing import Any, NamedTuple

from ..wire.messages import CompilerAnswer as Answer
from ..wire.records import Ending, ErrorReport, Outcome
from .handles import Fault, Handles, SuiteFault

MAX_SOURCE = 1 << 20
COMPILE_SECONDS = 2.0
MOST_AHEAD = 1 << 16  # bytes
_TYPE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class Compiled(NamedTuple):
    """Marshalled code. ``lines`` of its source; ``prelude``: code that runs before it."""

    code: bytes
    numpy: bool
    lines: int
    prelude: bytes = b""


def clean_error(raw: Any, lines: int) -> ErrorReport:
    """An error as a confined process reports it: bounded, escaped, its line in the source."""
    raw = raw if isinstance(raw, dict) else {}
    kind, line, message = raw.get("type"), raw.get("line"), raw.get("message")
    text = message[:200] if isinstance(message, str) else ""
    text = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text
    )
    return ErrorReport(
        kind if isinstance(kind, str) and _TYPE.fullmatch(kind) else "Exception",
        line if type(line) is int and 0 < line <= lines else 0,
        text[:200],  # escapes have made it longer
    )


def compile_source(handles: Handles, source: str, answer: bytes = b"") -> Compiled | Ending:
    """The program, or the ending of all its tests where it does not compile.

    ``answer`` is the compiler's, where it was asked before. Raises Fault.
    """
    if len(source) > MAX_SOURCE:
        return _syntax("more than 1 MiB of source")
    if answer:
        return _read(handles, source, answer)
    for _ in range(2):
        server = handles.server("compiler")
        try:
            server.send(source.encode("utf-8", "surrogatepass"))
            return _read(handles, source, server.receive(COMPILE_SECONDS))
        except Fault:
            handles.drop("compiler")
        except TimeoutError:
            handles.drop("compiler")
            return Ending(Outcome.TIMEOUT, ErrorReport("CompileTimeout"))
    # A fresh compiler ended, too: then the source is to blame.
    return _syntax("it ends the compiler")


def compile_ahead(handles: Handles, sources: list[str]) -> list[bytes]:
    """Answers of the compiler to several programs for one wake-up; empty where it did not
    answer, and is to be asked again by itself."""
    answers = [b""] * len(sources)
    encoded = [source.encode("utf-8", "surrogatepass") for source in sources]
    # What is sent must fit into the socket: while the compiler is busy answering it reads
    # nothing, and both sides would wait for each other.
    if len(sources) == 1 or sum(map(len, encoded)) > MOST_AHEAD:
        return answers
    try:
        server = handles.server("compiler")
        server.send(*encoded)
        for index in range(len(encoded)):
            server.start_clock()
            answers[index] = server.receive(COMPILE_SECONDS)
    except (Fault, OSError):  # one that takes too long is a TimeoutError, an OSError
        handles.drop("compiler")
    return answers


def with_prelude(handles: Handles, program: Compiled, text: str) -> Compiled:
    """The program with the suite's prelude. Raises SuiteFault when that does not compile."""
    if not text:
        return program
    prelude = compile_source(handles, text)
    if isinstance(prelude, Ending):
        raise SuiteFault("the prelude of the tests does not compile")
    # Both run in one child: numpy must be there if either imports it.
    return program._replace(prelude=prelude.code, numpy=program.numpy or prelude.numpy)


def _read(handles: Handles, source: str, answer: bytes) -> Compiled | Ending:
    kind, body = answer[:1], answer[1:]
    # As the compiler counts them: a line ends with \n, \r\n or \r.
    lines = source.count("\n") + source.count("\r") - source.count("\r\n") + 1
    if kind == Answer.FATAL:
        handles.drop("compiler")
    if kind in (Answer.BAD, Answer.FATAL):
        return Ending(Outcome.SYNTAX_ERROR, clean_error(json.loads(body), lines))
    return Compiled(body, kind == Answer.NUMPY_CODE, lines)


def _syntax(message: str) -> Ending:
    return Ending(Outcome.SYNTAX_ERROR, ErrorReport("SyntaxError", message=message))
