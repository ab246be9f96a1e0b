"""Messages between the worker and the confined processes: requests, and first bytes of answers."""

import marshal
import re
import struct
from typing import Any

from . import codec

SOURCE_NAME = "<program>"
# Before a source: it may return at its top level. No source that compiles begins so.
RETURNS = "\udc00"
NONCE = 8  # bytes, which a child must repeat in its answer
# What a request wants of the result: the value; with it the arguments where the call changed
# them; the same, of generators the object and no copy; a bool as it is and else whether there is a
# value; or just whether there is one.
VALUE_ONLY, WITH_ARGUMENTS, WITH_GENERATORS, TRUTH, PRESENCE = range(5)

# A tag of what marshal does not write, or not as it is (a quote within a text is escaped).
_BEYOND_MARSHAL = re.compile(r'"t":"(?!(?:tuple|dict|set|frozenset|int|float|bytes|complex)")')


class CompilerAnswer:
    """First byte of what the compiler sends."""

    CODE, NUMPY_CODE, BAD, FATAL = b"K", b"N", b"S", b"X"


TAMPERED = -2  # in the place of a test: a reply was no plain data, said before the test goes on


class OracleMessage:
    """First byte of what the oracle sends. OTHERWISE: the tests made other calls than foreseen;
    RESUME: the answer to a call that the program made of the tests."""

    CALL, RESUME, ENDINGS, END, BROKEN, OTHERWISE = b"C", b"R", b"T", b"E", b"B", b"O"


class Job:
    """First byte of the one job of a child: a whole program or a module to call, traced or not."""

    WHOLE, MODULE, WHOLE_TRACED, MODULE_TRACED = b"W", b"M", b"w", b"m"


class Reply:
    """First byte of what a child sends; but for HELLO the nonce of its request follows. CALLBACK:
    before it can answer, it asks something of an object that lives with the tests."""

    HELLO, LOADED, DONE, TRACE, PRELUDE_RAN, PRELUDE_FAILED = b"H", b"L", b"D", b"T", b"R", b"P"
    VALUE, ERROR, UNSERIALISABLE, TOO_LARGE, CALLBACK = b"V", b"E", b"U", b"O", b"C"


OPERATION = "@"
"""Before the name of a call that is no function of the program but an operation on an object."""
LIVES_HERE = b'"t":"live"'
"""In a request that gives the program an object of the tests. No text in it holds these bytes."""


def pack_job(kind: bytes, nonce: bytes, code: bytes, prelude: bytes) -> bytes:
    """A job: compiled code of the program, and of what runs before it (may be empty)."""
    return kind + nonce + len(prelude).to_bytes(4, "big") + prelude + code


def unpack_job(job: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Kind, nonce, prelude and code."""
    middle = 13 + int.from_bytes(job[9:13], "big")  # 1 byte, 8 of the nonce, 4 of the length
    return job[:1], job[1:9], job[13:middle], job[middle:]


def request(
    function: str,
    arguments: str,
    named: str,
    *,
    want: int = VALUE_ONLY,
    seen: int = 0,
    room: int = 1,
) -> bytes:
    """A request without its nonce: what to call with which encoded arguments. ``seen``: how many
    numbers of live objects are in use; ``room``: how often the usual budget the result may take.

    Marshalled: the child may trust what we send, and has marshal's code in its memory already.
    """
    given: tuple[Any, Any] = (arguments, named)
    if not (_BEYOND_MARSHAL.search(arguments) or _BEYOND_MARSHAL.search(named)):
        given = codec.decode(arguments, budget=False), codec.decode(named, budget=False)
    return marshal.dumps((function, *given, want, seen, room), 2)


_STATUS = struct.Struct("!id?")
STATUS_BYTES = _STATUS.size


def pack_status(status: int, cpu: float, clean: bool) -> bytes:
    """How a child ended, as its zygote reports: wait status, CPU seconds, and whether nothing of
    the program is left."""
    return _STATUS.pack(status, cpu, clean)


def unpack_status(data: bytes) -> tuple[int, float, bool]:
    """Inverse of :func:`pack_status`."""
    status, cpu, clean = _STATUS.unpack(data)
    return int(status), float(cpu), bool(clean)
