"""Analysis: one parse and one walk of a program, for style, complexity and tamper signs alike.

Programs are never run here. A program longer than :data:`falcon.feedback.syntax.MAX_CHARACTERS` is not analysed,
so cost is bounded whatever a model writes.
"""

from __future__ import annotations

from functools import lru_cache

from falcon.feedback.cognitive import cognitive_of
from falcon.feedback.facts import Facts
from falcon.feedback.repeats import repeats_in
from falcon.feedback.syntax import MAX_CHARACTERS, parse
from falcon.feedback.walk import Walk


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
        walk.run(program)
        facts.cognitive = cognitive_of(program)
    except (RecursionError, ValueError):
        return Facts(fault="nested too deep to analyse")
    if not facts.effort:
        facts.fault = "no code that does anything"
    _read_lines(program, facts, walk.docstrings)
    facts.issues["repeated code"] = max(facts.issues["repeated code"], repeats_in(program))
    return facts


def _read_lines(program: str, facts: Facts, docstrings: list[tuple[int, int]]) -> None:
    """Facts of the text: comments, the lines that are code, and three of them in a row repeated."""
    documented = {n for start, end in docstrings for n in range(start, end + 1)}
    seen: set[tuple[str, ...]] = set()
    last: tuple[str, ...] = ()
    for number, line in enumerate(program.split("\n"), start=1):
        text = line.strip()
        if not text or number in documented:
            continue
        if text[0] == "#":
            facts.comment_lines += 1
            continue
        facts.code_lines += 1
        facts.code_text.append(text)
        last = (*last[-2:], text)
        if len(last) == 3 and sum(map(len, last)) >= 30:
            if last in seen:
                facts.issues["repeated code"] += 1
                last = ()
            else:
                seen.add(last)
