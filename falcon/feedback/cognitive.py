"""Cognitive complexity of a program (Campbell's measure), by complexipy in this process.

A branch or loop costs one, and one more for every one it is nested in; so do further kinds of
operand in a condition. Comments that tell complexipy to look away have no effect.
"""

from __future__ import annotations


def cognitive_of(program: str) -> int:
    """Complexity of all functions and of the code outside of functions.

    Raises ValueError for a text that complexipy cannot read, as one nested too deep.
    """
    from complexipy import code_complexity

    try:
        found = code_complexity(program, no_ignore=True, with_plans=False)
    except BaseException as fault:
        # A panic of its native code is no Exception; it ends nothing here.
        if isinstance(fault, Exception) or type(fault).__name__ == "PanicException":
            raise ValueError(str(fault)) from None
        raise
    return int(found.complexity)
