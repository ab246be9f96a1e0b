"""Analysis: one parse and one walk of a program, for style, complexity and tamper signs.

Programs are not run here. One longer than :data:`falcon.feedback.syntax.MAX_CHARACTERS` is not
analysed, so the cost is bounded whatever a model writes.
"""

from functools import lru_cache

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
        return facts  # comments and code lines still count, for the tripwires
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


def cognitive_of(program: str) -> int:
    """Cognitive complexity (Campbell) of all functions and of the code outside of functions.

    A branch or loop costs one, and one more for each that it is nested in; a condition that mixes
    operators costs more. Raises ValueError for a text that complexipy cannot read.
    """
    from complexipy import code_complexity

    try:  # no_ignore: comments that switch complexipy off have no effect
        result = code_complexity(program, no_ignore=True, with_plans=False)
    except BaseException as fault:
        # A panic in its native code (a program nested too deep) is not an Exception.
        if isinstance(fault, Exception) or type(fault).__name__ == "PanicException":
            raise ValueError(str(fault)) from None
        raise
    return int(result.complexity)


def _read_lines(program: str, facts: Facts, docstrings: list[tuple[int, int]]) -> None:
    """Facts of the text: comment lines, code lines, and repeats of three code lines in a row."""
    documented = {n for start, end in docstrings for n in range(start, end + 1)}
    triples: set[tuple[str, ...]] = set()
    triple: tuple[str, ...] = ()  # the latest code lines, at most three
    for number, line in enumerate(program.split("\n"), start=1):
        text = line.strip()
        if not text or number in documented:
            continue
        if text[0] == "#":
            facts.comment_lines += 1
            continue
        facts.code_lines += 1
        facts.code_text.append(text)
        triple = (*triple[-2:], text)
        if len(triple) == 3 and sum(map(len, triple)) >= 30:  # shorter lines repeat by chance
            if triple in triples:
                facts.issues["repeated code"] += 1
                triple = ()  # six equal lines are one repeat, not three
            else:
                triples.add(triple)
