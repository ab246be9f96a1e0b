"""The one exception for faults a user can mend.

Everything the command line prints as a single line and an exit code is a
:class:`UserError`; anything else that escapes is a defect and keeps its traceback.
"""

from __future__ import annotations


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
