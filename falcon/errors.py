"""Errors of the library, each with who handles it.

A :class:`UserError` is printed as a single line and ends the command with its exit code. The
other errors never reach a user: their callers retry, or count them. Anything else that escapes
is a defect and keeps its traceback. (The sandbox's processes use the standard library alone
and have errors of their own.)
"""

import errno
import os
import re

DEFECT = 70  # Exit code of a command that ended by an error nobody handles
INTERRUPTED = 130

_FULL = (errno.ENOSPC, errno.EDQUOT)
_SHUT = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL_TEXTS = ("No space left on device", "disk is full", "Disk quota exceeded")
"""How libraries that raise their own exceptions (SQLite, safetensors, Arrow) say it."""


_SECRETS = (
    (re.compile(r"(\w://)[^\s'\"]*@"), r"\1***@"),
    # The lines of urllib and requests name the query of an address.
    (re.compile(r"(?i)([?&;][^\s=&?]*(?:password|token|secret|key)=)[^\s&'\"]+"), r"\1***"),
)
"""User and password of an address, up to the last @: a password may hold one, or a slash."""


def without_passwords(text: str) -> str:
    """``text`` with ``***`` in place of what addresses in it say about user and password."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class UserError(Exception):
    """What is wrong, where, and what to do about it, in one line without passwords.

    Raised for bad settings, missing or malformed files, absent models and refused
    operations. ``exit_code`` is what the command line ends with.
    """

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = without_passwords(message)
        self.hint = without_passwords(hint)
        super().__init__(f"{self.message} {self.hint}".strip())

    def add_hint(self, hint: str) -> None:
        """Say what to do where that is only known to a caller."""
        self.hint = without_passwords(hint)
        self.args = (f"{self.message} {self.hint}",)


class SlotFault(Exception):
    """A sandbox worker could not start, ended, or does not answer: the pool tries again."""


class CriticFault(Exception):
    """A critic has no answer (time-out, refusal, endpoint down, no record): counted, left out."""


class LinterFault(Exception):
    """Ruff cannot be started: the linter starts it again, or reports no findings."""


class RowRefused(Exception):
    """A row of a file is no problem; ``args``: (field, message). Readers list them as faults."""

    args: tuple[tuple[str, str], ...]


def machine_fault(fault: BaseException) -> UserError | None:
    """``fault`` in one line if the disk is behind it: full, read-only or another user's.

    None for all else.
    """
    checked: set[int] = set()
    at: BaseException | None = fault
    while at is not None and id(at) not in checked:
        checked.add(id(at))
        if (isinstance(at, OSError) and at.errno in _FULL) or any(
            text in str(at) for text in _FULL_TEXTS
        ):
            where = f" ({at.filename})" if isinstance(at, OSError) and at.filename else ""
            return UserError(
                f"the disk is full{where}.",
                hint="Make room and run it again; what was finished before is kept.",
            )
        if isinstance(at, OSError) and at.errno in _SHUT and at.filename:
            return UserError(
                f"{at.filename} cannot be written or read ({os.strerror(at.errno or 0).lower()}).",
                hint="Give this user the folder, or work in a clone of your own.",
            )
        at = at.__cause__ or at.__context__  # libraries wrap the system's error
    return None
