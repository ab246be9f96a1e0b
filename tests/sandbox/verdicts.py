"""Verdicts of the conformance table, written down: a change that is not meant to move one must not.

``make references`` (or ``python -m tests.sandbox.verdicts``) writes ``verdicts.json`` anew: the
table is judged several times, every second time with many slots, so that the machine is busy. A
detail that differs between two runs is written as ``null`` and not compared. It stays so, also
where the next runs happen to agree, until the program or the suite of its row changes (``of`` is
their hash). A timeout by wall time, which a busy machine may cause, is written only where all runs
end so.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from falcon.sandbox import Program, Sandbox, Verdict
from falcon.sandbox.cache import lasting
from falcon.sandbox.program import suite_message
from tests.sandbox.cases import ROWS as CASES
from tests.sandbox.cases import Row
from tests.sandbox.containment_cases import CONTAINMENT
from tests.sandbox.honest_cases import HONEST_TWINS
from tests.sandbox.limits import small
from tests.sandbox.live_cases import LIVE
from tests.sandbox.red_team_cases import RED_TEAM
from tests.sandbox.suite_cases import SUITES

ROWS = [*CASES, *HONEST_TWINS, *SUITES, *CONTAINMENT, *LIVE, *RED_TEAM]
FILE = Path(__file__).with_name("verdicts.json")
LEVELS = ("L3", "L2")
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
RUNS = 6

Details = list[Any]
"""Outcome, type and line of the error ("" and 0: none), and the outcomes of the tests."""


def details(verdict: Verdict) -> Details:
    """What is written down of a verdict."""
    error = verdict.error
    of_error = [error.type, error.line] if error else ["", 0]
    return [verdict.outcome.value, *of_error, [case.outcome.value for case in verdict.cases]]


def differences(level: str, verdicts: dict[str, Verdict]) -> dict[str, tuple[Details, Details]]:
    """Written and present details of the rows that moved.

    Left out are rows with numpy where it is not installed, and timeouts by wall time. Another
    version of Python has other errors and lines: nothing is compared there.
    """
    written = json.loads(FILE.read_text(encoding="utf-8"))
    if written["python"] != PYTHON:
        return {}
    without = [] if find_spec("numpy") else [r.name for r in ROWS if r.name.startswith("numpy")]
    moved = {}
    for name, verdict in verdicts.items():
        want = written["rows"][name]
        want, got = want.get("all") or want[level], details(verdict)
        if name not in without and not _agree(want, got) and lasting(verdict):
            moved[name] = want, got
    return moved


def _agree(want: Any, got: Any) -> bool:
    if isinstance(want, list):
        return len(want) == len(got) and all(map(_agree, want, got))
    return want is None or want == got


def _common(all_details: Sequence[Any]) -> Any:
    """What is equal in all runs; null for the rest."""
    first = all_details[0]
    if all(isinstance(each, list) and len(each) == len(first) for each in all_details):
        return [_common(parts) for parts in zip(*all_details, strict=True)]
    return first if all(each == first for each in all_details) else None


def judge_table(level: str, workers: int) -> dict[str, Verdict]:
    """The verdict on each row, by its name."""
    with Sandbox(small(workers=workers), level=level) as running:
        verdicts = running.judge_all([Program(row.code, row.suite) for row in ROWS])
    return dict(zip((row.name for row in ROWS), verdicts, strict=True))


def _record(level: str) -> list[dict[str, Verdict]]:
    return [judge_table(level, workers=8 if run % 2 else 3) for run in range(RUNS)]


def _of_runs(verdicts: list[Verdict]) -> Details:
    return list(
        _common([details(v) for v in filter(lasting, verdicts)] or [*map(details, verdicts)])
    )


def digest(row: Row) -> str:
    """Of what a row is about: its program and its suite."""
    words = re.findall(r"\w+|\W", json.dumps(suite_message(row.suite)))
    text = json.dumps([row.code, sorted(words)])  # the order of a set's items is by chance
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def still_null(before: Any, now: Any) -> Any:
    """``now``, with null where ``before`` has it."""
    if before is None:
        return None
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [still_null(*pair) for pair in zip(before, now, strict=True)]
    return now


def merged(written: dict[str, Any], row: Row, by: dict[str, Details]) -> dict[str, Any]:
    """What is written of a row, by level: its new details, with the nulls of the old ones where
    the row is the same."""
    of = digest(row)
    if written.get("of", of) == of:
        old = {name: written.get("all") or written.get(name, ()) for name in by}
        by = {name: still_null(old[name], new) for name, new in by.items()}
    same = all(each == by["L3"] for each in by.values())
    return {"of": of, **({"all": by["L3"]} if same else by)}


def write(runs: dict[str, list[dict[str, Verdict]]]) -> None:
    """Write the file from the runs at each level: one line a row of the table."""
    lines = []
    written = json.loads(FILE.read_text(encoding="utf-8"))
    known = written["rows"] if written["python"] == PYTHON else {}
    for row in ROWS:
        by = {name: _of_runs([run[row.name] for run in runs[name]]) for name in LEVELS}
        fields = merged(known.get(row.name, {}), row, by)
        lines.append(f"{json.dumps(row.name)}: {json.dumps(fields)}")
    body = ",\n".join(lines)
    FILE.write_text(f'{{"python": "{PYTHON}", "rows": {{\n{body}\n}}}}\n', encoding="utf-8")


def main() -> None:
    """Judge the table at every level and write the file."""
    write({level: _record(level) for level in LEVELS})


if __name__ == "__main__":
    main()
