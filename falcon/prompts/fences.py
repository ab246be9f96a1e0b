"""Fences: the marks around a code block."""

import re

FENCE = "```"


def fence_around(code: str) -> str:
    """A fence that nothing in ``code`` can close."""
    longest = max(map(len, re.findall("`+", code)), default=0)
    return "`" * max(len(FENCE), longest + 1)
