"""Rollout: the one way from problems to programs, verdicts, feedback and experiences.

Prompt, recall, generate and extract (:class:`Writer`); run and assess (:class:`Solver`).
Training, benchmarks, ``falcon generate`` and the model in service all go this way. A program
that the sandbox could not judge keeps its ``sandbox_error``; who uses it leaves it out of rewards.
Nothing is added to a memory here.
"""

from falcon.rollout.attempt import Examiner, Solver, error_share_of
from falcon.rollout.metrics import outcome_metrics
from falcon.rollout.records import Attempt, Draft, Phase, attempt_row
from falcon.rollout.stage import RolloutResult, roll_out, spread
from falcon.rollout.writer import Clock, Writer

__all__ = [
    "Attempt",
    "Clock",
    "Draft",
    "Examiner",
    "Phase",
    "RolloutResult",
    "Solver",
    "Writer",
    "attempt_row",
    "error_share_of",
    "outcome_metrics",
    "roll_out",
    "spread",
]
