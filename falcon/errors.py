"""Faults a user can mend.

Everything the command line prints as a single line and an exit code is a
:class:`UserError`; anything else that escapes is a defect and keeps its traceback.
"""

from __future__ import annotations

import errno

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_SAID = ("No space left on device", "disk is full", "Disk quota exceeded")
"""How libraries that raise their own exceptions (SQLite, safetensors, Arrow) say it."""


class UserError(Exception):
    """What is wrong, where, and what to do about it, in one line.

    Raised for bad settings, missing or malformed files, absent models and refused
    operations. ``exit_code`` is what the command line ends with.
    """

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(f"{message} {hint}".strip())


def full_disk(fault: BaseException) -> UserError | None:
    """``fault`` in one line if a full disk is behind it, else None.

    Libraries wrap the system's error, so the causes of ``fault`` are looked at too.
    """
    seen: set[int] = set()
    at: BaseException | None = fault
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        if (isinstance(at, OSError) and at.errno in _FULL) or any(s in str(at) for s in _FULL_SAID):
            where = f" ({at.filename})" if isinstance(at, OSError) and at.filename else ""
            return UserError(
                f"the disk is full{where}.",
                hint="Make room and run it again; what was finished before is kept.",
            )
        at = at.__cause__ or at.__context__
    return None
