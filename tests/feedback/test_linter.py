"""The linter: findings of ruff by program, and what becomes of a ruff that fails."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from falcon.feedback import linter as module
from falcon.feedback.judges import StaticJudge
from falcon.feedback.linter import Linter, LintFinding
from falcon.feedback.rules import RULES
from falcon.feedback.style import PENALTY
from falcon.feedback.syntax import MAX_CHARACTERS

UNUSED = "import os\nprint(1)\n"
FOUND = (LintFinding("unused import", "os", 1),)


@pytest.fixture
def linter() -> Linter:
    return Linter()


def script(path: Path, text: str) -> tuple[str, ...]:
    """A command of that text for a shell, with the real ruff as $RUFF."""
    from ruff import find_ruff_bin

    path.write_text(f"#!/bin/sh\nRUFF={find_ruff_bin()}\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return (str(path),)


def test_findings_have_issue_name_and_line(linter: Linter) -> None:
    (findings,) = linter.lint(["x = 1\nimport os\n\n\ndef Add(l=[]):\n    return l == None\n"])
    assert findings is not None
    assert set(findings) >= {
        LintFinding("unused import", "os", 2),
        LintFinding("import not on a line of its own at the top", "", 2),
        LintFinding("name", "Add", 5),
        LintFinding("mutable default", "", 5),
        LintFinding("== None", "None", 6),
    }


def test_every_rule_is_known_to_ruff_and_has_a_penalty(linter: Linter) -> None:
    assert set(RULES) <= set(PENALTY)
    listed = subprocess.run(
        [sys.executable, "-m", "ruff", "rule", "--all", "--output-format", "json"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for rules in RULES.values():
        for rule in rules:
            assert f'"name": "{rule}"' in listed or f'"name":"{rule}"' in listed, rule


def test_a_batch_is_one_process_and_each_text_is_asked_about_once(linter: Linter) -> None:
    programs = [f"import os\nprint({n})\n" for n in range(200)]
    assert linter.lint(programs) == [FOUND] * 200
    assert linter.batches == 1
    other = "import re\nprint(1)\n"
    linter.lint([*programs, other, other])
    assert linter.batches == 2
    linter.lint([*reversed(programs), other])
    assert linter.batches == 2


def test_settings_of_the_user_and_of_the_program_have_no_effect(
    linter: Linter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ruff.toml").write_text("[lint]\nselect = []\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("RUFF_OUTPUT_FORMAT", "json")
    monkeypatch.setattr("tempfile.tempdir", None)
    looked_away = "# ruff: noqa\nimport os  # noqa: F401\nprint(1)\n"
    (findings,) = linter.lint([looked_away])
    assert findings == (LintFinding("unused import", "os", 2),)
    assert [each.name for each in tmp_path.iterdir()] == ["ruff.toml"]


def test_lines_are_those_of_the_compiler(linter: Linter) -> None:
    findings = linter.lint(
        ["x = 1\r\nimport os\r\n", "x = 'é🙂'\rimport os\r", "x = '\u2028'\nimport os\n"]
    )
    for each in findings:
        assert each is not None
        assert LintFinding("unused import", "os", 2) in each


def test_a_ruff_that_hangs_is_ended_and_the_halves_are_tried(tmp_path: Path) -> None:
    once = script(
        tmp_path / "ruff",
        f'[ -e {tmp_path}/tried ] || {{ touch {tmp_path}/tried; exec sleep 60; }}\nexec $RUFF "$@"',
    )
    linter = Linter(once, timeout_s=2.0)
    assert linter.lint([UNUSED, "x = 1\n"]) == [FOUND, ()]
    assert linter.batches == 3


def test_an_answer_cut_short_is_no_answer(tmp_path: Path) -> None:
    killed = script(tmp_path / "ruff", '$RUFF "$@"; kill -9 $$')
    assert Linter(killed).lint([UNUSED]) == [None]


@pytest.mark.parametrize("program", ["x = '\ud800'\n", "#" * (MAX_CHARACTERS + 1)])
def test_what_cannot_be_asked_about_has_no_findings(linter: Linter, program: str) -> None:
    assert linter.lint([program, UNUSED]) == [None, (LintFinding("unused import", "os", 1),)]


def test_a_program_that_ends_ruff_takes_no_other_with_it(linter: Linter) -> None:
    # Ruff's parser recurses down a chain of attributes and runs out of stack on these.
    deep = "x" + ".a" * 15_000 + "\n"
    others = [f"import os\nprint({n})\n" for n in range(5)]
    findings = linter.lint([*others, deep, UNUSED])
    assert findings == [FOUND] * 5 + [None, FOUND]


def test_without_ruff_the_judge_has_no_scores_and_nothing_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    linter = Linter()
    monkeypatch.setattr(module, "_linter_of", lambda process: linter)
    monkeypatch.setattr("ruff.find_ruff_bin", lambda: "/nowhere/ruff")
    judge = StaticJudge()
    judge.prepare([(UNUSED, "")])
    assert judge.score(UNUSED) is None
    bad = judge.score("def (")
    assert bad is not None
    assert bad.style == -1.0
    monkeypatch.undo()
    # Ruff may be found later: its absence is not stored.
    assert linter.lint([UNUSED]) == [FOUND]


def test_a_child_has_a_linter_of_its_own() -> None:
    mine = module.linter()
    with mine._lock:
        child = os.fork()
        if child == 0:
            findings = module.linter().lint([UNUSED])
            os._exit(0 if findings == [FOUND] else 1)
        assert os.waitpid(child, 0)[1] == 0
