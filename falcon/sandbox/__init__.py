"""The sandbox: runs programs a model wrote and says what they did with their tests.

``Sandbox(settings).judge_all(programs)`` gives one :class:`Verdict` a program. Expected
values and test code never enter the process that runs a program. See docs/sandbox.md.
"""

from falcon.sandbox.isolation import Isolation, probe
from falcon.sandbox.pool import Sandbox
from falcon.sandbox.program import Program
from falcon.sandbox.verdict import CaseResult, ErrorInfo, Outcome, Verdict

__all__ = [
    "CaseResult",
    "ErrorInfo",
    "Isolation",
    "Outcome",
    "Program",
    "Sandbox",
    "Verdict",
    "probe",
]
