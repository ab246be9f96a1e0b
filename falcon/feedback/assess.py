"""Assessment: from the verdicts on all programs for one task to their Feedback.

The samples of a task are assessed together because N_e of eq. 9 counts over them. Nothing is
run here; the caller passes the verdicts in.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from falcon.config import FeedbackSettings
from falcon.feedback.adaptive import adaptive_reward
from falcon.feedback.coarse import coarse_reward
from falcon.feedback.complexity import complexity_reward
from falcon.feedback.error_types import error_line, error_of, error_type
from falcon.feedback.judges.base import Judge
from falcon.feedback.negative import negative_reward
from falcon.feedback.reward import Feedback, Reward
from falcon.feedback.style import LOW, style_reward
from falcon.feedback.tripwires import tripwires
from falcon.sandbox.verdict import Outcome, Verdict


def error_counts(verdicts: Sequence[Verdict], settings: FeedbackSettings) -> dict[str, float]:
    """N_e of eq. 9 over one task's samples: raw counts, or shares of the samples.

    Sandbox faults are neither errors nor samples.
    """
    kinds = [error_type(v) for v in verdicts if v.outcome is not Outcome.SANDBOX_ERROR]
    counts = Counter(kind for kind in kinds if kind)
    scale = len(kinds) if settings.negative_counts == "share" and kinds else 1
    return {kind: count / scale for kind, count in counts.items()}


def _quality(program: str, verdict: Verdict, judge: Judge, reference: str) -> tuple[Reward, ...]:
    """The rewards for complexity and style; none if the judge has no scores."""
    if verdict.outcome is Outcome.SYNTAX_ERROR:
        # -1 from every judge: a text can parse and still not compile (`return` outside of a
        # function), and must not be rewarded for its style.
        error = error_of(verdict)
        reason = f"does not compile: {error.message}" if error else "does not compile"
        return complexity_reward(program, LOW, reason), style_reward(program, LOW, reason)
    if verdict.tampered:
        reason = "tampering"
        return complexity_reward(program, LOW, reason), style_reward(program, LOW, reason)
    scores = judge.score(program, reference)
    if scores is None:
        return ()
    by = f"by {judge.name}-{judge.version}"
    return (
        complexity_reward(program, scores.complexity, f"{by}: {scores.complexity_reason}"),
        style_reward(program, scores.style, f"{by}: {scores.style_reason}"),
    )


def _signs(program: str, verdict: Verdict, examples: str) -> tuple[str, ...]:
    """The tripwires; that a program did break the protocol is one, whatever its text looks like."""
    broken = {Outcome.PROTOCOL_VIOLATION.value} if verdict.tampered else set()
    return tuple(sorted({*tripwires(program, examples), *broken}))


def assess_group(
    programs: Sequence[str],
    verdicts: Sequence[Verdict],
    *,
    settings: FeedbackSettings,
    judge: Judge,
    error_share: Mapping[str, float],
    references: Sequence[str] = (),
    examples: str = "",
) -> list[Feedback]:
    """Feedback on all samples of one task, in their order.

    ``error_share`` is P_e of eq. 9 by error type; the judge compares with the first reference.
    A sandbox fault gives Feedback without rewards; if the judge has no scores, style and
    complexity are absent. Raises ValueError when programs and verdicts differ in number, and
    what the judge raises.
    """
    if len(programs) != len(verdicts):
        raise ValueError(f"{len(programs)} programs but {len(verdicts)} verdicts")
    counts = error_counts(verdicts, settings)
    reference = references[0] if references else ""
    feedback = []
    for program, verdict in zip(programs, verdicts, strict=True):
        if verdict.outcome is Outcome.SANDBOX_ERROR:
            feedback.append(Feedback(error_message=verdict.detail))
            continue
        error = error_of(verdict)
        feedback.append(
            Feedback(
                rewards=(  # in the order of TERMS, in which they are stored and shown
                    coarse_reward(verdict, program, settings.adaptive),
                    adaptive_reward(verdict, program),
                    *_quality(program, verdict, judge, reference),
                    negative_reward(verdict, program, counts, error_share, settings.error_lines),
                ),
                error_type=error_type(verdict),
                error_line=error_line(verdict, program, settings.error_lines),
                error_message=error.message if error and not verdict.passed else "",
                tripwires=_signs(program, verdict, examples),
            )
        )
    return feedback
