"""APPS (Hendrycks et al. 2021): its folders, the rows of the hub, or one JSON list.

A benchmark (``apps:PATH``, compared by the rules of its checker) or a source to train on, with
stricter rules (``apps:strict``): what the checker lets pass is no reward. The imports that the
checker puts before every program are the suite's prelude, without numpy.
"""

import json
from collections.abc import Callable
from typing import Any

from falcon.errors import RowRefused
from falcon.problems.fault import FieldFault
from falcon.problems.problem import Difficulty, Problem, Split
from falcon.problems.syntax import defined_names, parse, solution_methods
from falcon.suite import Call, CallSuite, Run, StdinSuite

PRELUDE = """\
import sys
import time
import itertools
from itertools import accumulate, product, permutations, combinations
import collections
from collections import Counter, OrderedDict, deque, defaultdict, ChainMap
from functools import lru_cache
import math
from math import sqrt, sin, cos, tan, ceil, fabs, floor, gcd, exp, log, log2
import fractions
from typing import List, Tuple, Dict, Optional, Set
import random
import heapq
from heapq import heappush, heappop, heapify
import re
import string
import bisect
"""

NO_TESTS = "no tests"


def read_apps(row: dict[str, Any]) -> Problem:
    """A row as problem ``apps/N`` of the test split. Raises RowRefused with all of its faults."""
    fields: dict[str, Any] = {}
    faults: list[FieldFault] = []
    for name, read in _READERS.items():
        try:
            fields[name] = read(row)
        except RowRefused as refused:
            faults += refused.args
    if faults:
        raise RowRefused(*faults)
    tests = fields["tests"]
    entry_point = tests.entry_point if tests.kind == "call" else ""
    return Problem(
        id=f"apps/{fields['number']}",
        source="apps",
        split=Split.TEST,
        difficulty=fields["difficulty"],
        statement=fields["statement"],
        entry_point=entry_point,
        starter=str(row.get("starter_code") or ""),
        tests=tests,
        solutions=_solutions(fields["programs"], entry_point),
    )


def _number(row: dict[str, Any]) -> str:
    name = next((row[k] for k in ("problem_id", "id", "name") if row.get(k) not in (None, "")), "")
    if name == "":
        raise RowRefused(("problem_id", "the field is missing"))
    return str(name).lstrip("0") or "0"  # folders write 0042, rows 42


def _statement(row: dict[str, Any]) -> str:
    field = "question" if "question" in row else "description"
    statement = row.get(field)
    if not isinstance(statement, str) or not statement.strip():
        raise RowRefused((field, "the task's text is missing"))
    return statement.strip()


def _difficulty(row: dict[str, Any]) -> Difficulty:
    level = row.get("difficulty", "")
    if level not in set(Difficulty):
        raise RowRefused(("difficulty", f"unknown difficulty {level!r:.40}"))
    return Difficulty(level)


def _programs(row: dict[str, Any]) -> list[str]:
    programs = _json(row, "solutions") if row.get("solutions") else []
    return [str(code) for code in programs] if isinstance(programs, list) else []


def _solutions(programs: list[str], entry_point: str) -> tuple[str, ...]:
    """The first reference that is Python 3 and defines the function; many are neither."""
    for code in programs:
        try:
            tree = parse(code)
        except SyntaxError:
            continue
        if not entry_point or entry_point in defined_names(tree) | solution_methods(tree):
            return (code,)
    return ()


def _json(row: dict[str, Any], field: str) -> Any:
    """A field that holds JSON as text, or its value already."""
    value = row.get(field)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise RowRefused((field, "not JSON")) from None


def _tests(row: dict[str, Any]) -> CallSuite | StdinSuite:
    field = "input_output" if "input_output" in row else "private_tests"
    cases = _json(row, field) if row.get(field) else None
    if not isinstance(cases, dict):
        raise RowRefused((field, NO_TESTS))
    # `input_output` has "inputs" and "outputs", `private_tests` "input" and "output".
    inputs, outputs = (cases.get(k + "s", cases.get(k)) for k in ("input", "output"))
    if not isinstance(inputs, list) or not isinstance(outputs, list) or not inputs:
        raise RowRefused((field, NO_TESTS))
    if len(inputs) != len(outputs):
        raise RowRefused((field, f"{len(inputs)} inputs and {len(outputs)} outputs"))
    name = cases.get("fn_name")
    pairs = list(zip(inputs, outputs, strict=True))
    if not name:  # a program that reads standard input
        runs = tuple(Run(stdin=_text(a), expected=_text(b)) for a, b in pairs)
        return StdinSuite(runs=runs, rule="apps", prelude=PRELUDE)
    if not all(isinstance(arguments, list) for arguments, _ in pairs):
        raise RowRefused((field, "an input is no list of arguments"))
    calls = tuple(Call(args=tuple(map(_int_keys, a)), expected=_int_keys(b)) for a, b in pairs)
    return CallSuite(entry_point=str(name), calls=calls, rule="apps", prelude=PRELUDE)


def _text(value: Any) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)  # some: lines


def _int_keys(value: Any) -> Any:
    """The checker turns keys that are whole numbers, which JSON made text, back into numbers."""
    if isinstance(value, dict) and value and all(k.lstrip("-").isdigit() for k in value):
        return {int(key): each for key, each in value.items()}
    return value


_READERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "number": _number,
    "statement": _statement,
    "difficulty": _difficulty,
    "tests": _tests,
    "programs": _programs,
}
