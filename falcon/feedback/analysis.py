"""Analysis: one parse and one walk of a program, for style, complexity and tamper signs alike.

Programs are never run here. A program longer than :data:`MAX_CHARACTERS` is not analysed,
so cost is bounded whatever a model writes.
"""

from __future__ import annotations

import ast
import threading
import warnings
from functools import lru_cache

from falcon.feedback.facts import Facts
from falcon.feedback.walk import Walk

MAX_CHARACTERS = 32_768
"""Longest program that is parsed."""
LINE_LENGTH = 99
"""Longest line without a penalty (PEP 8's upper allowance)."""

_WARNINGS = threading.Lock()


def parse(program: str) -> tuple[ast.Module | None, str]:
    """Syntax tree of a program, or None and the reason why there is none."""
    if len(program) > MAX_CHARACTERS:
        return None, f"too long to analyse: {len(program)} characters, limit {MAX_CHARACTERS}"
    try:
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(program), ""
    except SyntaxError as fault:
        return None, f"does not parse: {fault.msg} (line {fault.lineno or 0})"
    except (ValueError, RecursionError, MemoryError, OverflowError) as fault:
        return None, f"does not parse: {type(fault).__name__}"


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
        facts.cyclomatic = _cyclomatic(tree)
        walk.run(tree)
    except RecursionError:
        return Facts(fault="nested too deep to analyse")
    if not facts.effort:
        facts.fault = "no code that does anything"
    _read_lines(program, facts, walk.docstrings)
    return facts


def _cyclomatic(tree: ast.Module) -> int:
    """McCabe complexity of the most complex function, or of the module's own code."""
    from radon.visitors import ComplexityVisitor

    visitor = ComplexityVisitor.from_ast(tree)
    blocks = [visitor.complexity]
    for function in visitor.functions:
        blocks.append(function.complexity)
    for each in visitor.classes:
        blocks += [method.complexity for method in each.methods]
    return max(1, *(int(block) for block in blocks))


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
