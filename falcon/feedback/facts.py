"""Facts: counts and names of a program's text and syntax tree, for judge and tripwires.

Only the record; :mod:`falcon.feedback.analysis` fills it.
"""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Facts:
    """Counts and names of a program. ``fault``: why it cannot be scored, or "".

    ``nodes`` counts syntax-tree nodes without contexts, docstrings and argument lists, so it does
    not depend on formatting; ``dead_nodes`` are those of statements without effect. ``cognitive``
    is the cognitive complexity, ``loop_depth`` the greatest depth of loops and comprehensions.
    ``effort``: whether the program computes anything. ``issues`` counts issues of style that ruff
    has no rule for.
    """

    fault: str = ""
    # Shape: depends on the tree alone.
    nodes: int = 0
    dead_nodes: int = 0
    dead_statements: int = 0
    cognitive: int = 0
    loop_depth: int = 0
    slow_in_loop: int = 0
    effort: bool = False
    # Names, by kind.
    functions: list[str] = field(default_factory=list)
    outermost: list[str] = field(default_factory=list)
    stored: set[str] = field(default_factory=set)
    loaded: set[str] = field(default_factory=set)
    imported: dict[str, str] = field(default_factory=dict)
    # Style.
    issues: Counter[str] = field(default_factory=Counter)
    documented: int = 0
    comment_lines: int = 0
    code_lines: int = 0
    # Tamper signs.
    dotted: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    patched: set[str] = field(default_factory=set)
    asserts: int = 0
    constants: list[object] = field(default_factory=list)
    code_text: list[str] = field(default_factory=list)
