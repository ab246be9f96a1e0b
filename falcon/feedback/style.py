"""Style reward: how well a program keeps to the conventions of Python.

The static judge starts at 2 and takes off for each kind of issue, more often a little
more, down to -1. It sees text and syntax tree only: not whether names are apt, nor
whether the program is right. Names and layout of the reference are taken as given, so a
required name in camelCase costs nothing.
"""

from __future__ import annotations

import math
import re

from falcon.feedback.facts import Facts
from falcon.feedback.reward import Reward
from falcon.feedback.spans import whole_span

LOW, HIGH = -1.0, 2.0
"""Range of the scores of style and complexity (the paper's evaluation model)."""

_SNAKE = re.compile(r"_{0,2}[a-z][a-z0-9]*(?:_[a-z0-9]+)*_{0,2}|_+|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")
_CAPITALS = re.compile(r"_{0,2}[A-Z][A-Za-z0-9]*")
_UNCLEAR = frozenset({"l", "O", "I"})

_PENALTY = {
    "long line": 0.25,
    "trailing blanks": 0.05,
    "tab or odd indentation": 0.2,
    "several statements on a line": 0.3,
    "no spaces around =": 0.2,
    "repeated code": 0.4,
    "bare except": 0.5,
    "silenced exception": 0.3,
    "mutable default": 0.5,
    "shadowed built-in": 0.25,
    "eval or exec": 0.5,
    "import *": 0.4,
    "global": 0.25,
    "named lambda": 0.25,
    "== None": 0.3,
    "== True or False": 0.25,
    "type(x) == T": 0.25,
    "range(len(x))": 0.15,
    "if: return True, else: return False": 0.25,
    "unused import": 0.3,
    "unused name": 0.25,
    "unused parameter": 0.2,
    "name": 0.3,
    "dead statement": 0.4,
    "no docstring": 0.25,
    "more comments than code": 0.4,
}
_MOST = 2.5
"""An issue costs at most this many times its penalty, however often it occurs."""


def _found(facts: Facts, reference: Facts | None) -> dict[str, int]:
    """How often each issue occurs."""
    known = (
        set(reference.functions + reference.classes + reference.parameters) if reference else set()
    )
    named = set(facts.functions + facts.parameters + [n for n in facts.stored if n != "_"])
    unclear = sum(not _SNAKE.fullmatch(name) or name in _UNCLEAR for name in named - known)
    unclear += sum(not _CAPITALS.fullmatch(name) for name in facts.classes if name not in known)
    found = {issue: count for issue, count in facts.issues.items() if count}
    used = facts.loaded
    if not facts.exported:
        found["unused import"] = sum(name not in used for name in facts.imported)
    found["unused name"] = sum(
        name not in used and not name.startswith("_") for name in facts.assigned
    )
    found["unused parameter"] = sum(
        name not in used and name[0] != "_" and name not in ("self", "cls")
        for name in set(facts.parameters)
    )
    found["name"] = unclear
    found["dead statement"] = facts.dead_statements
    found["no docstring"] = int(bool(facts.functions) and not facts.documented)
    found["more comments than code"] = int(facts.comment_lines > max(3, facts.code_lines))
    return {issue: count for issue, count in found.items() if count > 0}


def static_style(facts: Facts, reference: Facts | None = None) -> tuple[float, str]:
    """Style in [-1, 2] and the reason: each issue with what it took off."""
    if facts.fault:
        return LOW, facts.fault
    value, parts = HIGH, []
    for issue, count in sorted(_found(facts, reference).items()):
        loss = _PENALTY.get(issue, 0.0) * min(_MOST, 1 + 0.5 * math.log2(count))
        if loss:
            value -= loss
            times = f" x{count}" if count > 1 else ""
            parts.append(f"-{loss:.2f} {issue}{times}")
    value = max(LOW, min(HIGH, value))
    return value, "2.00 " + ", ".join(parts) if parts else "no issue"


def style_reward(program: str, score: float, reason: str) -> Reward:
    """The style term over the whole program; ``score`` is a judge's, in [-1, 2]."""
    return Reward(
        term="style",
        value=score,
        span=whole_span(program),
        reason=f"style {score:.2f} {reason}",
    )
