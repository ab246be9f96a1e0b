"""Verdicts for people and for programs: lines of text, and one JSON object."""

from typing import Any

from rich.console import Console

from falcon.listing import printable
from falcon.sandbox.suite_file import labels
from falcon.sandbox.verdict import ErrorInfo, Outcome, Verdict
from falcon.suite import Suite

_LABEL_CHARS = 90


def verdict_json(verdict: Verdict, suite: Suite) -> dict[str, Any]:
    """A verdict as plain data: the program's, then one entry a test; times in seconds."""
    named = labels(suite, len(verdict.cases))
    return {
        "verdict": verdict.outcome.value,
        "error": verdict.error.model_dump() if verdict.error else None,
        "passed": verdict.n_pass,
        "failed": verdict.n_fail,
        "tests": [
            {"test": name}
            | case.model_dump(mode="json", exclude={"lines"} if case.lines is None else None)
            for name, case in zip(named, verdict.cases, strict=True)
        ],
        **verdict.model_dump(mode="json", exclude={"outcome", "error", "cases"}),
    }


def error_text(error: ErrorInfo) -> str:
    """An error in a line: ``ZeroDivisionError on line 3: division by zero``."""
    at = f" on line {error.line}" if error.line else ""
    return printable(f"{error.type}{at}{': ' if error.message else ''}{error.message}")


def print_verdict(console: Console, verdict: Verdict, suite: Suite) -> None:
    """One line a test, then the verdict with what it took."""
    for name, case in zip(labels(suite, len(verdict.cases)), verdict.cases, strict=True):
        note = f"  ({error_text(case.error)})" if case.error else ""
        short = name if len(name) <= _LABEL_CHARS else f"{name[: _LABEL_CHARS - 3]}..."
        line = f"  {case.outcome.value:<16} {printable(short)}{note}"
        _print(console, line, _colour(case.outcome))
    tally = f", {verdict.n_pass} of {len(verdict.cases)} tests pass" if verdict.cases else ""
    why = f" ({printable(verdict.detail)})" if verdict.detail else ""
    _print(console, f"{verdict.outcome.value}{tally}{why}", _colour(verdict.outcome))
    times = f"{verdict.cpu_s:.2f} s processor time, {verdict.wall_s:.2f} s in all"
    _print(console, f"{times}, isolation {verdict.isolation}", "dim")


def print_trace(console: Console, code: str, verdict: Verdict) -> None:
    """The program with the number of tests that each of its lines ran in."""
    traced = [case.lines for case in verdict.cases if case.lines is not None]
    _print(console, f"tests that ran each line, of {len(traced)} traced:", "")
    for number, line in enumerate(code.splitlines(), start=1):
        tests = sum(number in lines for lines in traced)
        _print(console, f"{tests or '':>5}  {printable(line)}", "" if tests else "dim")


def _colour(outcome: Outcome) -> str:
    return "green" if outcome is Outcome.PASS else "red"


def _print(console: Console, line: str, style: str) -> None:
    # As it is: what a program printed may look like Rich's own markup.
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
