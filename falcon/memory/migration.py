"""Migration: the stored form of an experience, from one schema to the next.

A change of the stored form (also of Verdict or Feedback, which it holds) is a new number and
one function here. Logs are never rewritten for it: old lines are brought up to date as they
are read, and a log may hold lines of several schemas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SCHEMA = 3
"""Version of the stored form. A reader refuses a greater one."""

Tree = dict[str, Any]


def _from_1(tree: Tree) -> Tree:
    """Schema 2 says when a program was tried (``origin.time``); before, nobody knew."""
    return {**tree, "origin": {"time": "", **tree["origin"]}}


def _from_2(tree: Tree) -> Tree:
    """Schema 3 keeps what a model was told beside the statement; before, nothing of it."""
    return {**tree, "asked": {}}


STEPS: dict[int, Callable[[Tree], Tree]] = {1: _from_1, 2: _from_2}
"""By the schema a step starts from."""


def upgraded(tree: Tree) -> Tree:
    """The tree of an experience in the present schema; one that names no schema is taken for it.

    Raises ValueError for a later schema or none that ever was, KeyError or TypeError for a
    tree that does not hold what its schema says.
    """
    version = tree.get("schema_version", SCHEMA)
    if not isinstance(version, int) or version < 1 or version > SCHEMA:
        raise ValueError(f"schema {version!r} is none of 1 to {SCHEMA}")
    for step in range(version, SCHEMA):
        tree = {**STEPS[step](tree), "schema_version": step + 1}
    return tree
