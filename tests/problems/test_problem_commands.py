"""``falcon problems`` on real files, in the real sandbox."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from falcon.cli.problems import app
from falcon.errors import UserError


def _run(*arguments: str):
    return CliRunner().invoke(app, list(arguments), catch_exceptions=True)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_list_and_show(tmp_path, make_row, write):
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "problems.jsonl", [make_row("a"), make_row("bb", split="test")])
    lines = _run("list").stdout.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["builtin/a", "train", "introductory", "call", "2"],
        ["builtin/bb", "test", "introductory", "call", "2"],
    ]
    shown = _run("show", "builtin/a").stdout
    assert "a(2) -> 4" in shown
    assert "return x * 2" in shown
    missing = _run("show", "builtin/ab").exception
    assert isinstance(missing, UserError)
    assert "builtin/a" in missing.hint


def test_list_and_show_humaneval_without_a_data_folder():
    assert len(_run("list", "--source", "humaneval").stdout.splitlines()) == 165
    assert "def check(candidate)" in _run("show", "humaneval/7").stdout


def test_check_lists_every_fault_of_the_file(tmp_path, make_row, write):
    rows = [make_row(f"p{i}", split="dev") for i in range(25)]
    result = _run("check", str(write(tmp_path / "p.jsonl", rows)), "--no-run")
    assert result.exit_code == 1
    assert result.stdout.count("unknown split") == 25


def test_check_runs_the_references(tmp_path, make_row, write):
    good = write(tmp_path / "good.jsonl", [make_row("a")])
    result = _run("check", str(good))
    assert (result.exit_code, result.stdout.strip()) == (0, f"{good}: 1 problems, references pass")
    wrong = ["def b(x):\n    return x * 2\n", "def b(x):\n    return x + 2\n"]
    silent = {"kind": "stdin", "runs": [{"stdin": "1", "expected": ""}]}
    bad = write(
        tmp_path / "bad.jsonl",
        [make_row("b", solutions=wrong), make_row("c", entry_point="", tests=silent, solutions=[])],
    )
    result = _run("check", str(bad))
    assert result.exit_code == 1
    first, second = result.stdout.splitlines()
    assert first.startswith(
        f"{bad}, row 1, `solutions.1`: `builtin/b`: the reference ends in wrong_answer, 1 of 2"
    )
    assert second == f"{bad}, row 2, `tests`: `builtin/c`: the empty program passes"
