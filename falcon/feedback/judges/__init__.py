"""Judges: who scores the style and complexity of programs in [-1, 2].

The static judge computes, the recorded one looks up earlier scores, the critic judge asks a
language model. All score code that does not parse -1.
"""

from falcon.feedback.judges.base import Judge, QualityScores
from falcon.feedback.judges.make import make_judge
from falcon.feedback.judges.recorded import RecordedJudge, code_key
from falcon.feedback.judges.static import StaticJudge

__all__ = ["Judge", "QualityScores", "RecordedJudge", "StaticJudge", "code_key", "make_judge"]
