"""Records of a rollout: a draft is what a policy wrote, an attempt is a draft that was judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from falcon.feedback import unit_test_value
from falcon.memory.experience import Experience, Origin, TaskDetails
from falcon.sandbox.verdict import Outcome

if TYPE_CHECKING:
    from falcon.feedback.reward import Feedback
    from falcon.generation.completion import Completion
    from falcon.problems.problem import Problem
    from falcon.prompts.excerpt import Piece
    from falcon.prompts.forms import Form
    from falcon.sandbox.verdict import Verdict

Phase = Literal["train", "eval"]


@dataclass(frozen=True)
class Draft:
    """One completion for a problem and the program in it."""

    problem: Problem
    sample: int  # its number among the samples of the problem, from 0
    prompt_ids: tuple[int, ...]  # [P]
    completion: Completion  # its ids [T]
    program: str
    pieces: tuple[Piece, ...]  # where its characters stand in the completion
    prompt_version: str  # of the form in which the problem was put

    @classmethod
    def of(
        cls, problem: Problem, sample: int, ids: tuple[int, ...], completion: Completion, form: Form
    ) -> Draft:
        """The draft that a completion of a prompt ``ids`` holds."""
        cut = form.extract(completion.text, problem)
        return cls(problem, sample, ids, completion, cut.program, cut.pieces, form.version)


@dataclass(frozen=True)
class Attempt(Draft):
    """A draft with everything that came of it."""

    verdict: Verdict
    feedback: Feedback
    reward: float  # the composite R(W, F)

    @property
    def test_reward(self) -> float:
        """T of the composite reward: eq. 7 with eq. 8 in its place or beside it."""
        return unit_test_value(self.feedback)

    @property
    def judged(self) -> bool:
        """Whether there is a verdict on the program (our own fault leaves none)."""
        return self.verdict.outcome is not Outcome.SANDBOX_ERROR

    def experience(self, origin: Origin) -> Experience:
        """The tuple (D, W, T, F) of this attempt."""
        return Experience(
            problem_id=self.problem.id,
            split=self.problem.split,
            task=self.problem.statement,
            asked=TaskDetails.of(self.problem),
            program=self.program,
            verdict=self.verdict,
            feedback=self.feedback,
            score=self.reward,
            origin=origin,
        )


def attempt_row(attempt: Attempt) -> dict[str, object]:
    """One attempt as a flat row of a table."""
    f, v = attempt.feedback, attempt.verdict
    return {
        "problem_id": attempt.problem.id,
        "split": attempt.problem.split.value,
        "difficulty": attempt.problem.difficulty.value,
        "sample": attempt.sample,
        "program": attempt.program,
        "outcome": v.outcome.value,
        "error_type": f.error_type,
        "error_line": f.error_line,
        "n_pass": v.n_pass,
        "n_fail": v.n_fail,
        "reward": attempt.reward,
        **{term: f.value(term) for term in ("coarse", "error", "style", "complexity", "negative")},
        "tripped": f.tripped,
        "tokens": attempt.completion.tokens,
        "cpu_s": v.cpu_s,
    }
