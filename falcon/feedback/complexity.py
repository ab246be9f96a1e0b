"""Complexity reward: how simple a program is for what it does.

The static judge starts at 2 and subtracts for cognitive complexity (deeper branches cost more),
nested loops, slow calls in loops, and length; with a reference, only what exceeds it costs much.
The score depends on the syntax tree only, not on layout or on measured running time.
"""

import math

from falcon.feedback.facts import Facts
from falcon.feedback.reward import Reward
from falcon.feedback.spans import whole_span
from falcon.feedback.style import HIGH, LOW

_SHORT = 8
"""Nodes of the shortest function that does something (``return a + b``)."""
_INCOMPLETE = 0.25
"""A program below this share of the reference's length is too short to do the same."""


def static_complexity(facts: Facts, reference: Facts | None = None) -> tuple[float, str]:
    """Complexity in [-1, 2], high for simple programs, and the reason with the numbers.

    A program that computes nothing, or that cannot be analysed, scores -1. One below a quarter of
    the reference's length (without statements that have no effect) is not simple but incomplete:
    it starts between 0.5 and 2, in proportion to its length.
    """
    if facts.fault:
        return LOW, facts.fault
    usable = reference if reference is not None and not reference.fault else None
    losses = {
        f"cognitive complexity {facts.cognitive}": _branches(facts, usable),
        f"loop depth {facts.loop_depth}": _loops(facts, usable),
        f"slow calls in loops {facts.slow_in_loop}": min(0.6, 0.3 * facts.slow_in_loop),
        f"dead statements {facts.dead_statements}": min(0.6, 0.15 * facts.dead_statements),
        f"{facts.nodes} nodes" + (f" to {usable.nodes}" if usable else ""): _length(facts, usable),
    }
    live = facts.nodes - facts.dead_nodes
    share = live / max(_SHORT, usable.nodes) if usable else 1.0
    start = 0.5 + (HIGH - 0.5) * min(1.0, share / _INCOMPLETE)  # an empty stub must not earn 2
    parts = [f"-{loss:.2f} {name}" for name, loss in losses.items() if loss >= 0.005]
    if start < HIGH:
        parts.insert(0, f"for only {live} nodes that do something")
    value = max(LOW, min(HIGH, start - math.fsum(losses.values())))
    return value, f"{start:.2f} " + ", ".join(parts) if parts else "nothing to simplify"


def _over(count: int, each: float, free: int, more: float, most: float) -> float:
    """``each`` for every one, ``more`` added for those beyond ``free``, at most ``most``."""
    return min(most, each * count + more * max(0, count - free))


def _branches(facts: Facts, reference: Facts | None) -> float:
    free = max(6, reference.cognitive if reference else 0)
    return _over(facts.cognitive, 0.03, free, 0.05, 1.5)


def _loops(facts: Facts, reference: Facts | None) -> float:
    """Nested loops: a little each, much beyond the reference (without one: beyond two)."""
    free = max(1, reference.loop_depth) if reference else 2
    return _over(max(0, facts.loop_depth - 1), 0.15, free - 1, 0.35, 1.5)


def _length(facts: Facts, reference: Facts | None) -> float:
    small = min(0.2, 0.0005 * facts.nodes)  # decides between programs that are else equal
    if reference is None:
        return small + min(1.0, 0.002 * max(0, facts.nodes - 150))
    ratio = facts.nodes / max(_SHORT, reference.nodes)
    # Half a point for each doubling beyond one and a half times the reference.
    return small + (min(1.5, 0.5 * math.log2(ratio / 1.5)) if ratio > 1.5 else 0.0)


def complexity_reward(program: str, score: float, reason: str) -> Reward:
    """The complexity term over the whole program; ``score`` is a judge's, in [-1, 2]."""
    reason = f"complexity {score:.2f} {reason}"
    return Reward(term="complexity", value=score, span=whole_span(program), reason=reason)
