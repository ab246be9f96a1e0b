"""Analysis: one parse and one walk of a program, for style, complexity and tamper signs alike.

Programs are never run here. A program longer than :data:`falcon.feedback.syntax.MAX_CHARACTERS` is not analysed,
so cost is bounded whatever a model writes.
"""

from __future__ import annotations

from functools import lru_cache

from falcon.feedback.cyclomatic import cyclomatic_of
from falcon.feedback.facts import Facts
from falcon.feedback.syntax import MAX_CHARACTERS, parse
from falcon.feedback.walk import Walk

LINE_LENGTH = 99
"""Longest line without a penalty (PEP 8's upper allowance)."""


@lru_cache(maxsize=512)
def facts_of(program: str) -> Facts:
    """Facts of a program. Never raises for any text. The result is shared: read only."""
    tree, fault = parse(program)
    if tree is None:
        facts = Facts(fault=fault)
        _read_lines(program[:MAX_CHARACTERS], facts, [])
        return facts
    facts = Facts()
    walk = Walk(facts)
    try:
        facts.cyclomatic = cyclomatic_of(program)
        walk.run(tree)
    except RecursionError:
        return Facts(fault="nested too deep to analyse")
    if not facts.effort:
        facts.fault = "no code that does anything"
    _read_lines(program, facts, walk.docstrings)
    return facts


def _read_lines(program: str, facts: Facts, docstrings: list[tuple[int, int]]) -> None:
    """Facts of the text: line lengths, blanks, comments, and the lines that are code."""
    documented = {n for start, end in docstrings for n in range(start, end + 1)}
    seen: set[tuple[str, ...]] = set()
    last: tuple[str, ...] = ()
    for number, line in enumerate(program.split("\n"), start=1):
        text = line.strip()
        facts.issues["long line"] += len(line) > LINE_LENGTH
        facts.issues["trailing blanks"] += len(line.rstrip("\r")) > len(line.rstrip()) > 0
        if not text or number in documented:
            continue
        if text[0] == "#":
            facts.comment_lines += 1
            continue
        facts.code_lines += 1
        facts.code_text.append(text)
        facts.issues["tab or odd indentation"] += (
            line[0] == "\t" or (len(line) - len(line.lstrip(" "))) % 4 == 1
        )
        last = (*last[-2:], text)
        if len(last) == 3 and sum(map(len, last)) >= 30:
            if last in seen:
                facts.issues["repeated code"] += 1
                last = ()
            else:
                seen.add(last)
