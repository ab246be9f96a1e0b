"""Fences: the marks around a code block in a chat answer, and where the blocks of an answer are."""

import re

FENCE = "```"
_OPEN = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[ \t]*\r?\n", re.MULTILINE)
_CLOSE = re.compile(r"^[ \t]*```", re.MULTILINE)


def fence_around(code: str) -> str:
    """A fence that nothing in ``code`` can close."""
    longest = max(map(len, re.findall("`+", code)), default=0)
    return "`" * max(len(FENCE), longest + 1)


def code_blocks(text: str) -> list[tuple[int, int]]:
    """Character ranges (start, end) of the code blocks; the whole text where there is no fence."""
    opened = _OPEN.search(text)
    closed = _CLOSE.search(text)
    if closed is None:
        return [(0, len(text))]
    # A fence opens a block if it names a language or nothing stands before it. Any other first
    # fence closes the block that the prompt opened.
    opens = opened is not None and (opened.group(1) or not text[: opened.start()].strip())
    if opened is None or closed.start() < opened.start() or not opens:
        return [(0, closed.start())]
    blocks = []
    position = 0
    while (opened := _OPEN.search(text, position)) is not None:
        closed = _CLOSE.search(text, opened.end())
        end = closed.start() if closed else len(text)  # the length limit may cut a block
        blocks.append((opened.end(), end))
        position = closed.end() if closed else len(text)
    return blocks
