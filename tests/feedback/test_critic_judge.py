"""A language model as judge: its marks are scores, anything else is a fault."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from falcon.config import FeedbackSettings
from falcon.critics import RecordedCritic, question_key
from falcon.feedback import assess_group, composite
from falcon.feedback.judges.critic import CriticJudge, marks_of, question_of, scaled
from falcon.sandbox.verdict import Outcome, Verdict

GOOD = "def f(x):\n    return x + 1\n"
ODD = "def f(x):\n  return 1+x\n"


@pytest.mark.parametrize(
    ("answer", "marks"),
    [
        ("Fine.\nStyle: 4\nComplexity: 5", (4, 5)),
        ("**Style:** 5/5\n- complexity = 1.", (5, 1)),
        ("Style: 4\nComplexity: 5\nStyle: 4", (4, 5)),
        ("Style: 4\nComplexity: 5\nStyle: 3", None),
        ("Style: 0\nComplexity: 5", None),
        ("Style: 6\nComplexity: 5", None),
        ("Style: 4", None),
        ("Style: <1-5>\nComplexity: <1-5>", None),
        ("Style: good\nComplexity: 5", None),
        ("My style: 4 stars\nComplexity: 5", None),
        ("", None),
    ],
)
def test_marks(answer: str, marks: tuple[int, int] | None) -> None:
    assert marks_of(answer) == marks


def test_marks_fill_the_papers_range() -> None:
    assert [scaled(m) for m in range(1, 6)] == [-1.0, -0.25, 0.5, 1.25, 2.0]


def _judge(folder: Path, answers: dict[tuple[str, str], str]) -> CriticJudge:
    rows = [
        {"question": question_key(question_of(*each)), "critic": "c/1", "answer": text}
        for each, text in answers.items()
    ]
    file = folder / "answers.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return CriticJudge(RecordedCritic(file))


def test_scores_and_faults_reach_the_feedback(tmp_path: Path) -> None:
    judge = _judge(tmp_path, {(GOOD, GOOD): "Style: 5\nComplexity: 3", (ODD, GOOD): "Nice!"})
    programs = [GOOD, ODD, "def f(x:\n"]
    judge.prepare([(p, GOOD) for p in programs])
    settings = FeedbackSettings()
    wrong = Verdict(outcome=Outcome.WRONG_ANSWER)
    right = Verdict(outcome=Outcome.PASS)
    results = assess_group(
        programs,
        [right, wrong, Verdict(outcome=Outcome.SYNTAX_ERROR)],
        settings=settings,
        judge=judge,
        error_share={},
        references=[GOOD],
    )
    assert [(f.value("style"), f.value("complexity")) for f in results] == [
        (2.0, 0.5),
        (None, None),
        (-1.0, -1.0),
    ]
    assert judge.faults == 1
    assert results[1].value("coarse") == pytest.approx(-0.3)
    assert composite(wrong, results[1], settings) < composite(right, results[0], settings)
    assert "recorded-c/1" in results[0].rewards[2].reason


def test_the_prompt_names_no_verdict_and_holds_program_and_reference() -> None:
    system, user = question_of(ODD, GOOD)
    assert ODD.strip() in user
    assert GOOD.strip() in user
    assert "impartial" in system
    assert "known solution" not in question_of(ODD)[1]
