"""What holds for any text at all: finite, in range, inside the text, no exception."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falcon.config import FeedbackSettings
from falcon.feedback import (
    ERROR_TYPES,
    StaticJudge,
    assess_group,
    ast_match,
    ast_reward,
    compile_reward,
    composite,
    dataflow_match,
    dataflow_reward,
    fine_reward,
    negative_reward,
)
from falcon.feedback.error_types import LineMatching
from falcon.sandbox.verdict import CaseResult, ErrorInfo, Outcome, Verdict

CODE = st.lists(
    st.sampled_from(
        [
            "def f(x):\n    ",
            "return x\n",
            "for i in range(len(x)):\n    ",
            "    x[i] += 1\n",
            "lambda *a, b={}: b",
            "try:\n    pass\nexcept:\n    pass\n",
            "class a(b): x: int = 1\n",
            "match x:\n    case {'a': 1, **r}:\n        pass\n",
            "from . import y as z\n",
            "async def g():\n    await g()\n",
            "'''",
            "\n",
            "(",
            "\\",
            "\f",
            "# c\n",
            "x = y = (z := 3)\n",
            "del x.y, x[0]\n",
            'f"{x!r:>{y}}"\n',
            "a, *b = c\n",
            "with a as (b, c): pass\n",
        ]
    ),
    max_size=12,
).map("".join)
TEXT = st.one_of(CODE, st.text(), st.binary(max_size=60).map(lambda b: b.decode("latin-1")))
CASES = st.lists(
    st.sampled_from(list(Outcome)).map(lambda o: CaseResult(outcome=o)), max_size=4
).map(tuple)
ERRORS = st.none() | st.builds(
    ErrorInfo,
    type=st.sampled_from(["KeyError", "SyntaxError", "MemoryError", "", "é"]) | st.text(max_size=5),
    line=st.integers(-3, 20) | st.just(10**12),
    message=st.sampled_from(["invalid syntax", "No module named 'x'", ""]) | st.text(max_size=9),
)
VERDICT = st.builds(Verdict, outcome=st.sampled_from(list(Outcome)), error=ERRORS, cases=CASES)
SHARE = dict.fromkeys(ERROR_TYPES, 0.2)
RANGE = {
    "coarse": (-1, 1),
    "error": (-0.3, 1),
    "style": (-1, 2),
    "complexity": (-1, 2),
    "negative": (-1, 0),
    "fine": (-0.3, 0),
    "compile": (-1, 1),
    "ast": (0, 1),
    "dfg": (0, 1),
}
MATCHINGS: tuple[LineMatching, ...] = ("exact", "first_occurrence")


def check(program: str, verdict: Verdict, reference: str = "") -> None:
    options = FeedbackSettings()
    (feedback,) = assess_group(
        [program],
        [verdict],
        settings=options,
        judge=StaticJudge(),
        error_share=SHARE,
        references=(reference,),
        examples=reference,
    )
    assert math.isfinite(composite(verdict, feedback, options))
    assert (feedback.rewards == ()) == (verdict.outcome is Outcome.SANDBOX_ERROR)
    assert feedback.error_type in ("", *ERROR_TYPES)
    others = [ast_reward(program, [reference]), dataflow_reward(program, [reference])]
    if feedback.rewards:
        others.append(compile_reward(verdict, program))
        for matching in MATCHINGS:
            others.append(fine_reward(verdict, program, matching))
            others.append(negative_reward(verdict, program, SHARE, SHARE, matching))
    for reward in (*feedback.rewards, *others):
        low, high = RANGE[reward.term]
        assert low <= reward.value <= high + 1e-9
        if reward.span is not None:
            assert 0 <= reward.span.start <= reward.span.end <= len(program)


@settings(max_examples=150, deadline=None)
@given(TEXT, VERDICT, TEXT)
def test_any_program_and_verdict(program: str, verdict: Verdict, reference: str) -> None:
    check(program, verdict, reference)


@settings(max_examples=100, deadline=None)
@given(TEXT, TEXT)
def test_matches_are_shares(program: str, reference: str) -> None:
    assert 0 <= ast_match(program, reference) <= 1
    assert 0 <= dataflow_match(program, reference) <= 1


MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    "program",
    [
        "x = 1\n" * (MEGABYTE // 6),
        "#" * MEGABYTE,
        "\n" * MEGABYTE,
        "(" * MEGABYTE,
        " " * MEGABYTE,
        "\0" * MEGABYTE,
        random.Random(1).randbytes(MEGABYTE // 2).decode("latin-1"),
    ],
    ids=["code", "comment", "lines", "brackets", "blanks", "nul", "noise"],
)
def test_a_megabyte_scores_the_lowest_and_says_why(program: str) -> None:
    for line in (0, 1, 99_999):
        error = ErrorInfo(type="KeyError", line=line, message="m")
        check(program, Verdict(outcome=Outcome.RUNTIME_ERROR, error=error))
    scores = StaticJudge().score(program)
    assert (scores.style, scores.complexity) == (-1.0, -1.0)
    assert "too long" in scores.style_reason


@pytest.mark.parametrize(
    "program",
    [
        "(" * 30_000,
        "x = " + "-" * 30_000 + "1",
        "x = " + "+".join(["1"] * 15_000),
        "x = " + "[" * 90 + "]" * 90,
        "".join(" " * n + "if x:\n" for n in range(95)) + " " * 95 + "y = 1\n",
        "x = " + ".a" * 5,
        "x" + ".a" * 15_000,
    ],
    ids=["open", "minus", "sum", "lists", "ifs", "broken", "attributes"],
)
def test_deep_programs_do_no_harm(program: str) -> None:
    check(program, Verdict(outcome=Outcome.PASS))
    ast_match(program, program)
    dataflow_match(program, program)
