"""Migration: the stored form of an experience, from one schema to the next.

Each change of the stored form (also of Verdict or Feedback, which are part of it) gets a new
number and one function here. Logs are not rewritten: old lines are migrated as they are read,
and a log may hold lines of several schemas.
"""

from collections.abc import Callable
from typing import Any

from falcon.feedback import ranked
from falcon.sandbox.verdict import Outcome

SCHEMA = 4
"""Version of the stored form. A reader refuses a greater one."""

Tree = dict[str, Any]


def _from_1(tree: Tree) -> Tree:
    """Schema 2 adds the time when a program was tried (``origin.time``)."""
    return {**tree, "origin": {"time": "", **tree["origin"]}}


def _from_2(tree: Tree) -> Tree:
    """Schema 3 adds what the prompt gave beside the statement (``asked``)."""
    return {**tree, "asked": {}}


def _from_3(tree: Tree) -> Tree:
    """Schema 4 ranks scores by the tests first and marks spans of the whole program.

    A program that attacked what judges it had rewards like any that failed: it loses them.
    """
    outcome, feedback = tree["verdict"]["outcome"], tree["feedback"]
    tampered = outcome == Outcome.PROTOCOL_VIOLATION
    rewards = [] if tampered else [_marked(reward) for reward in feedback["rewards"]]
    score = ranked(tree["score"], passed=outcome == Outcome.PASS, tampered=tampered)
    return {**tree, "feedback": {**feedback, "rewards": rewards}, "score": score}


def _marked(reward: Tree) -> Tree:
    """A reward with the mark; eq. 9 alone can be about a part, and its reason says which."""
    if reward["span"] is None:
        return reward
    whole = reward["term"] != "negative" or reward["reason"].endswith("whole program")
    return {**reward, "span": {**reward["span"], "whole": whole}}


STEPS: dict[int, Callable[[Tree], Tree]] = {1: _from_1, 2: _from_2, 3: _from_3}
"""The step from each schema to the next one."""


def upgraded(tree: Tree) -> Tree:
    """The tree of an experience in the current schema, which is also assumed if none is named.

    Raises ValueError for a later or invalid schema, KeyError or TypeError for a tree that lacks
    what its schema requires.
    """
    version = tree.get("schema_version", SCHEMA)
    if not isinstance(version, int) or version < 1 or version > SCHEMA:
        raise ValueError(f"schema {version!r} is none of 1 to {SCHEMA}")
    for step in range(version, SCHEMA):
        tree = {**STEPS[step](tree), "schema_version": step + 1}
    return tree
