"""APPS (Hendrycks et al. 2021): its folders, the rows of the hub, or one JSON list.

A benchmark (``apps:PATH``, compared by the rules of its checker) or a source to train on. The
imports that the checker puts before every program are the suite's prelude, without numpy.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from falcon.problems.fault import ProblemFault
from falcon.problems.own import Parsed
from falcon.problems.problem import Difficulty, Problem, Split
from falcon.problems.rows import Row
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


class _Wrong(Exception):
    """A field that cannot be read: its name and why."""


def read_folders(path: Path) -> list[Row]:
    """One row a problem of the directory form, in order of their names."""
    rows: list[Row] = []
    folders = sorted(p.parent for p in path.rglob("question.txt"))
    for number, folder in enumerate(folders, start=1):
        row: dict[str, Any] = {"problem_id": folder.name}
        row["question"] = (folder / "question.txt").read_text(encoding="utf-8")
        for field, name in (
            ("input_output", "input_output.json"),
            ("solutions", "solutions.json"),
            ("starter_code", "starter_code.py"),
        ):
            file = folder / name
            row[field] = file.read_text(encoding="utf-8") if file.is_file() else ""
        file = folder / "metadata.json"
        if file.is_file():
            row |= json.loads(file.read_text(encoding="utf-8"))
        rows.append((number, row))
    return rows


def parse_apps(file: Path, rows: list[Row]) -> Parsed:
    """Rows as problems ``apps/N`` of the test split."""
    problems: list[tuple[int, Problem]] = []
    faults: list[ProblemFault] = []
    for number, row in rows:
        try:
            problems.append((number, _problem(row)))
        except _Wrong as wrong:
            field, message = wrong.args
            faults.append(ProblemFault(file, number, field, message))
    return problems, faults


def _problem(row: dict[str, Any]) -> Problem:
    name = next((row[k] for k in ("problem_id", "id", "name") if row.get(k) not in (None, "")), "")
    if name == "":
        raise _Wrong("problem_id", "the field is missing")
    number = str(name).lstrip("0") or "0"
    field = "question" if "question" in row else "description"
    statement = row.get(field)
    if not isinstance(statement, str) or not statement.strip():
        raise _Wrong(field, "the task's text is missing")
    level = row.get("difficulty", "")
    if level not in set(Difficulty):
        raise _Wrong("difficulty", f"unknown difficulty {level!r:.40}")
    starter = str(row.get("starter_code") or "")
    tests = _tests(row)
    return Problem(
        id=f"apps/{number}",
        source="apps",
        split=Split.TEST,
        difficulty=Difficulty(level),
        statement=statement.strip(),
        entry_point=tests.entry_point if tests.kind == "call" else "",
        starter=starter,
        tests=tests,
        solutions=_solutions(row, tests.entry_point if tests.kind == "call" else ""),
    )


def _solutions(row: dict[str, Any], entry_point: str) -> tuple[str, ...]:
    """The first reference that is Python 3 and defines the function; many are neither."""
    from falcon.problems.reference import defined_names, parse

    found = _json(row, "solutions") if row.get("solutions") else []
    kept = []
    for code in found if isinstance(found, list) else []:
        try:
            names = defined_names(parse(str(code)))
        except SyntaxError:
            continue
        if not entry_point or entry_point in names:
            kept.append(str(code))
    return tuple(kept[:1])


def _json(row: dict[str, Any], field: str) -> Any:
    value = row.get(field)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise _Wrong(field, "not JSON") from None


def _tests(row: dict[str, Any]) -> CallSuite | StdinSuite:
    field = "input_output" if "input_output" in row else "private_tests"
    found = _json(row, field) if row.get(field) else None
    if not isinstance(found, dict):
        raise _Wrong(field, "no tests")
    inputs, outputs = (found.get(k + "s", found.get(k)) for k in ("input", "output"))
    if not isinstance(inputs, list) or not isinstance(outputs, list) or not inputs:
        raise _Wrong(field, "no tests")
    if len(inputs) != len(outputs):
        raise _Wrong(field, f"{len(inputs)} inputs and {len(outputs)} outputs")
    name = found.get("fn_name")
    pairs = list(zip(inputs, outputs, strict=True))
    if not name:
        runs = tuple(Run(stdin=_text(a), expected=_text(b)) for a, b in pairs)
        return StdinSuite(runs=runs, rule="apps", prelude=PRELUDE)
    if not all(isinstance(arguments, list) for arguments, _ in pairs):
        raise _Wrong(field, "an input is no list of arguments")
    calls = tuple(Call(args=tuple(map(_int_keys, a)), expected=_int_keys(b)) for a, b in pairs)
    return CallSuite(entry_point=str(name), calls=calls, rule="apps", prelude=PRELUDE)


def _text(value: Any) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _int_keys(value: Any) -> Any:
    if isinstance(value, dict) and value and all(k.lstrip("-").isdigit() for k in value):
        return {int(key): each for key, each in value.items()}
    return value
