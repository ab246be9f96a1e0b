"""What ``falcon problems check`` checks: files of problems, and references in the sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from falcon.problems.check import Checked, Entry, check_files
from falcon.problems.syntax import reference_faults, suite_faults

if TYPE_CHECKING:
    from falcon.config import Settings
    from falcon.problems.fault import ProblemFault
    from falcon.sandbox import Verdict


def check_all(names: Sequence[str], settings: Settings | None) -> Checked:
    """Check paths, or KIND:PATH, together; programs are run under ``settings``, if given.

    Raises UserError for a path that is not there or cannot be read at all.
    """
    checked = check_files(names)
    if settings is None:
        return checked
    faults = checked.faults + _judge(checked.entries, settings)
    return Checked(checked.entries, sorted(faults, key=lambda fault: (str(fault.file), fault.row)))


def _judge(entries: Sequence[Entry], settings: Settings) -> list[ProblemFault]:
    """Faults of references that do not pass, and of tests that the empty program passes.

    What does not parse is a fault already and is not run.
    """
    from falcon.sandbox import Program, Sandbox

    cases: list[tuple[Entry, str, str]] = []  # entry, field, program
    for entry in entries:
        if suite_faults(entry.problem):
            continue  # check_files has reported them
        broken = {field for field, _ in reference_faults(entry.problem)}
        cases.append((entry, "tests", ""))  # the empty program, which must not pass
        for number, code in enumerate(entry.problem.solutions):
            if not broken & {"tests.entry_point", f"solutions.{number}"}:
                cases.append((entry, f"solutions.{number}", code))
    if not cases:
        return []  # without starting a sandbox
    with Sandbox(settings) as sandbox:
        verdicts = sandbox.judge_all([Program(code, e.problem.tests) for e, _, code in cases])
    faults = []
    for (entry, field, _), verdict in zip(cases, verdicts, strict=True):
        if field == "tests":
            if verdict.passed:
                faults.append(entry.fault(field, "the empty program passes"))
        elif not verdict.passed:
            faults.append(entry.fault(field, _ending(verdict)))
    return faults


def _ending(verdict: Verdict) -> str:
    reason = f": {verdict.detail}" if verdict.detail else ""
    if verdict.error:
        reason = f": {verdict.error.type}: {verdict.error.message}"
    tally = f", {verdict.n_pass} of {len(verdict.cases)} tests pass" if verdict.cases else ""
    return f"the reference ends in {verdict.outcome}{tally}{reason}"
