"""Rewards of other methods: RLTF's fine one, CompCoder's compile one, PPOCoder's matches."""

from __future__ import annotations

import pytest

from falcon.feedback import (
    ast_reward,
    compile_reward,
    dataflow_reward,
    fine_reward,
    negative_reward,
)
from falcon.feedback.reward import Reward
from falcon.sandbox.verdict import ErrorInfo, Outcome, Verdict

PROGRAM = "def f(x):\n    y = x[9]\n    if x:\n        y = x[9]\n    return y\n"
TIMEOUT = Verdict(outcome=Outcome.TIMEOUT, error=ErrorInfo(type="Timeout", line=0, message="cpu"))
FAULT = Verdict(outcome=Outcome.SANDBOX_ERROR)


def _error(kind: str, line: int, outcome: Outcome = Outcome.RUNTIME_ERROR) -> Verdict:
    return Verdict(outcome=outcome, error=ErrorInfo(type=kind, line=line, message=kind))


def _text(reward: Reward) -> str | None:
    return None if reward.span is None else PROGRAM[reward.span.start : reward.span.end]


def test_fine_reward_lies_where_the_error_is() -> None:
    line = fine_reward(_error("IndexError", 4), PROGRAM)
    assert (line.value, _text(line)) == (-0.3, "        y = x[9]")
    assert "index: -0.3, line 4" in line.reason
    assert _text(fine_reward(TIMEOUT, PROGRAM)) == PROGRAM
    wrong = fine_reward(Verdict(outcome=Outcome.WRONG_ANSWER), PROGRAM)
    assert (wrong.value, wrong.span) == (-0.3, None)
    right = fine_reward(Verdict(outcome=Outcome.PASS), PROGRAM)
    assert (right.value, right.span) == (0.0, None)


def test_first_occurrence_takes_the_equal_line_before_it() -> None:
    error = _error("IndexError", 4)
    for reward in (
        fine_reward(error, PROGRAM, "first_occurrence"),
        negative_reward(error, PROGRAM, {"index": 1}, {"index": 1}, "first_occurrence"),
    ):
        assert reward.span is not None
        assert reward.span.start == PROGRAM.index("y = x[9]")
        assert _text(reward) == "y = x[9]"
        assert "first text like line 4" in reward.reason


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.SANDBOX_ERROR])
def test_compile_reward_asks_only_the_compiler(outcome: Outcome) -> None:
    reward = compile_reward(Verdict(outcome=outcome), PROGRAM)
    assert reward.value == (-1.0 if outcome is Outcome.SYNTAX_ERROR else 1.0)
    assert _text(reward) == PROGRAM


@pytest.mark.parametrize("reward", [fine_reward, compile_reward])
def test_our_own_faults_have_no_reward(reward) -> None:
    with pytest.raises(ValueError, match="sandbox fault"):
        reward(FAULT, PROGRAM)


@pytest.mark.parametrize("reward", [ast_reward, dataflow_reward])
def test_the_best_reference_counts(reward) -> None:
    best = reward(PROGRAM, ["def g(): pass", PROGRAM.replace("y", "z"), "1"])
    assert best.value == 1.0
    assert _text(best) == PROGRAM
    assert "100% of the" in best.reason
    assert "of reference 2" in best.reason
    without = reward(PROGRAM, [])
    assert (without.value, without.span) == (0.0, None)
    assert 0.0 <= reward("def (", [PROGRAM]).value < 0.01
