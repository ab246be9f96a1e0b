"""PPOCoder's two matches with a reference, as rewards in [0, 1] over the whole program."""

from collections.abc import Callable, Sequence

from falcon.feedback.ast_match import ast_match
from falcon.feedback.dataflow_match import dataflow_match
from falcon.feedback.reward import Reward
from falcon.feedback.spans import whole_span


def ast_reward(program: str, references: Sequence[str]) -> Reward:
    """Share of a reference's sub-trees; the best of several references counts."""
    return _best("ast", "sub-trees", ast_match, program, references)


def dataflow_reward(program: str, references: Sequence[str]) -> Reward:
    """Share of a reference's data-flow edges; the best of several references counts."""
    return _best("dfg", "data-flow edges", dataflow_match, program, references)


def _best(
    term: str,
    what: str,
    match: Callable[[str, str], float],
    program: str,
    references: Sequence[str],
) -> Reward:
    """The reward of the best match; without references its value is 0 and it has no span."""
    if not references:
        return Reward(term=term, value=0.0, span=None, reason="no reference to compare with")
    shares = [match(program, reference) for reference in references]
    value = max(shares)
    of = f" of reference {shares.index(value) + 1}" if len(references) > 1 else " of the reference"
    reason = f"{value:.0%} of the {what}{of}"
    return Reward(term=term, value=value, span=whole_span(program), reason=reason)
