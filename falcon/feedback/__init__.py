"""Feedback: verdict and text of a program become rewards with spans, one reward a file."""

from falcon.feedback.adaptive import adaptive_reward, adaptive_value
from falcon.feedback.analysis import facts_of
from falcon.feedback.assess import assess_group, error_counts
from falcon.feedback.ast_match import ast_match
from falcon.feedback.coarse import COARSE, coarse_reward
from falcon.feedback.compile_reward import compile_reward
from falcon.feedback.complexity import complexity_reward, static_complexity
from falcon.feedback.composite import composite, paper_sum, ranked, unit_test_value
from falcon.feedback.dataflow_match import data_flow, dataflow_match
from falcon.feedback.error_types import (
    ERROR_TYPES,
    SpanClass,
    error_line,
    error_of,
    error_span,
    error_type,
    span_class,
    uniform_error_share,
)
from falcon.feedback.facts import Facts
from falcon.feedback.fine import FINE, fine_reward
from falcon.feedback.judges import (
    Judge,
    QualityScores,
    RecordedJudge,
    StaticJudge,
    code_key,
    make_judge,
)
from falcon.feedback.match_rewards import ast_reward, dataflow_reward
from falcon.feedback.negative import negative_reward, negative_sum
from falcon.feedback.offsets import decoded, token_offsets
from falcon.feedback.reward import TERMS, Feedback, Reward, Span
from falcon.feedback.spans import (
    first_occurrence,
    line_count,
    line_span,
    token_rewards,
    whole_span,
)
from falcon.feedback.style import static_style, style_reward
from falcon.feedback.tripwires import tripwires

__all__ = [
    "COARSE",
    "ERROR_TYPES",
    "FINE",
    "TERMS",
    "Facts",
    "Feedback",
    "Judge",
    "QualityScores",
    "RecordedJudge",
    "Reward",
    "Span",
    "SpanClass",
    "StaticJudge",
    "adaptive_reward",
    "adaptive_value",
    "assess_group",
    "ast_match",
    "ast_reward",
    "coarse_reward",
    "code_key",
    "compile_reward",
    "complexity_reward",
    "composite",
    "data_flow",
    "dataflow_match",
    "dataflow_reward",
    "decoded",
    "error_counts",
    "error_line",
    "error_of",
    "error_span",
    "error_type",
    "facts_of",
    "fine_reward",
    "first_occurrence",
    "line_count",
    "line_span",
    "make_judge",
    "negative_reward",
    "negative_sum",
    "paper_sum",
    "ranked",
    "span_class",
    "static_complexity",
    "static_style",
    "style_reward",
    "token_offsets",
    "token_rewards",
    "tripwires",
    "uniform_error_share",
    "unit_test_value",
    "whole_span",
]
