"""The static judge: style and complexity computed from the text, without a model."""

from collections.abc import Sequence

from falcon.feedback.analysis import facts_of
from falcon.feedback.complexity import static_complexity
from falcon.feedback.judges.base import QualityScores
from falcon.feedback.linter import LintFinding, linter, ruff_version
from falcon.feedback.style import static_style


class StaticJudge:
    """Deterministic: ruff's findings (:mod:`falcon.feedback.linter`), complexipy's cognitive
    complexity, and the syntax tree. None only where ruff gave no answer."""

    name = "static"

    def __init__(self) -> None:
        self.version = f"3-ruff-{ruff_version()}"  # 3: of our rules; raise it when they change

    def prepare(self, programs: Sequence[tuple[str, str]]) -> None:
        """Lint all programs and references in one batch; the linter keeps the findings."""
        linter().lint([text for pair in programs for text in pair if text.strip()])

    def score(self, program: str, reference: str = "") -> QualityScores | None:
        """Scores by :func:`static_style` and :func:`static_complexity`; never raises."""
        facts = facts_of(program)
        expected = facts_of(reference) if reference.strip() else None
        findings: Sequence[LintFinding] | None = ()
        reference_findings: Sequence[LintFinding] | None = ()
        if not facts.fault:  # a faulty program scores -1 whatever ruff would say
            texts = [program, reference if expected else ""]
            findings, reference_findings = linter().lint(texts)
        if findings is None:
            return None
        style, style_reason = static_style(facts, findings, expected, reference_findings or ())
        complexity, complexity_reason = static_complexity(facts, expected)
        return QualityScores(style, complexity, style_reason, complexity_reason)
