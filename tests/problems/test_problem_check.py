"""``falcon problems check``: everything wrong with files and folders, named by place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from limits_for_problems import small
from typer.testing import CliRunner

from falcon.cli.problem_check import check_all
from falcon.cli.problems import app
from falcon.errors import UserError
from falcon.problems import load_benchmark

ADD = "print(sum(map(int, sys.stdin.read().split())))"
WRONG = "print(0)"


def _folder(root: Path, name: str, **files: str) -> Path:
    """One problem of APPS; ``files`` replaces what is in a file, "" leaves it out."""
    folder = root / name
    folder.mkdir(parents=True)
    usual = {
        "question.txt": f"Add the numbers of task {name} in {root.name}.",
        "input_output.json": json.dumps({"inputs": ["1 2\n", "3"], "outputs": ["3", "3"]}),
        "solutions.json": json.dumps([f"{ADD}\nassert '{root.name}/{name}'"]),
        "metadata.json": json.dumps({"difficulty": "interview"}),
    }
    changed = {name.replace("__", "."): text for name, text in files.items()}
    for file, text in (usual | changed).items():
        if text:
            (folder / file).write_text(text)
    return folder


def _said(*names: object, run: bool = False) -> list[str]:
    return [str(fault) for fault in check_all([*map(str, names)], small() if run else None).faults]


def test_a_folder_of_apps_has_every_fault_named_by_its_file(tmp_path: Path) -> None:
    root = tmp_path / "test"
    _folder(root, "0001")
    _folder(root, "0002", question__txt=" ", metadata__json='{"difficulty": "hard"}')
    _folder(root, "0003", input_output__json='{"inputs": [], "outputs": []}')
    _folder(root, "0004", input_output__json="{")
    _folder(root, "0005", metadata__json="{", question__txt="")
    _folder(root, "0006", solutions__json=json.dumps([WRONG]))
    silent = json.dumps({"inputs": ["1"], "outputs": [""]})
    _folder(root, "0007", input_output__json=silent, solutions__json="")
    (root / "0008").mkdir()
    (root / "0008" / "question.txt").write_bytes(b"\xff")
    _folder(root, "01")
    assert _said(root, run=True) == [
        f"{root}/0002/metadata.json, `difficulty`: unknown difficulty 'hard'",
        f"{root}/0002/question.txt, `question`: the task's text is missing",
        f"{root}/0003/input_output.json, `input_output`: no tests",
        f"{root}/0004/input_output.json, `input_output`: not JSON",
        f"{root}/0005/metadata.json: not JSON (column 2: Expecting property name enclosed in"
        " double quotes)",
        f"{root}/0005/question.txt: the file is missing",
        f"{root}/0006/solutions.json, `solutions`: `apps/6`: the reference ends in wrong_answer,"
        " 0 of 2 tests pass",
        f"{root}/0007/input_output.json, `input_output`: `apps/7`: the empty program passes",
        f"{root}/0008/input_output.json: the file is missing",
        f"{root}/0008/metadata.json: the file is missing",
        f"{root}/0008/question.txt: not UTF-8 text (byte 0)",
        f"{root}/01, `problem_id`: duplicate id `apps/1` (first in 0001)",
    ]
    with pytest.raises(UserError, match=r"10 faults: .*0002/question.txt, `question`: the task"):
        load_benchmark(f"apps:{root}", tmp_path)


def test_splits_of_apps_must_not_share_a_problem(tmp_path: Path) -> None:
    _folder(tmp_path / "train", "0001")
    _folder(tmp_path / "train", "0002", question__txt="Add ALL of the numbers!")
    _folder(tmp_path / "test", "0001")
    same = _folder(tmp_path / "test", "0003", question__txt="add all of the numbers 42")
    copied = json.dumps([f"numbers = 1  # x\n{ADD}"]), json.dumps([f"many = 1\n{ADD}"])
    first = _folder(tmp_path / "test", "0004", solutions__json=copied[0])
    second = _folder(tmp_path / "train", "0005", solutions__json=copied[1])
    assert _said(tmp_path) == [
        f"{tmp_path}/train/0002/question.txt, `question`: `apps/2`: split train has the statement"
        f" of `apps/3` of split test ({same})",
        f"{second}/solutions.json, `solutions`: `apps/5`: split train has the solution of"
        f" `apps/4` of split test ({first})",
    ]
    # The same by naming both; and each alone is clean. The ids of both begin at 1.
    assert len(_said(tmp_path / "train", tmp_path / "test")) == 2
    assert _said(tmp_path / "train") == _said(tmp_path / "test") == []
    with pytest.raises(UserError, match="problems of the same numbers"):
        load_benchmark(f"apps:{tmp_path}", tmp_path)


def test_rows_of_the_hub_in_two_files_are_two_splits(tmp_path, write):
    row = {
        "problem_id": 1,
        "question": "Add.",
        "solutions": json.dumps([ADD]),
        "input_output": json.dumps({"inputs": ["1 2"], "outputs": ["3"]}),
        "difficulty": "interview",
    }
    other = row | {"problem_id": 2, "question": "Take away.", "solutions": ""}
    train = write(tmp_path / "train.jsonl", [row, other])
    test = write(tmp_path / "test.jsonl", [other | {"problem_id": 7}, {**other, "problem_id": 7}])
    assert _said(train, test) == [
        f"{test}, row 1, `question`: `apps/7`: split test has the statement of `apps/2` of split"
        f" train ({train}, row 2)",
        f"{test}, row 2, `problem_id`: duplicate id `apps/7` (first in row 1)",
        f"{test}, row 2, `question`: `apps/7`: split test has the statement of `apps/2` of split"
        f" train ({train}, row 2)",
    ]


def test_splits_of_one_file(tmp_path, make_row, make_mbpp, write):
    rows = [make_row("a"), make_row("b", split="test"), make_row("c", split="test")]
    rows[1]["statement"] = rows[0]["statement"].upper()
    rows[2]["solutions"] = ["def c(y):  # another name\n    return y * 2"]
    path = write(tmp_path / "p.jsonl", rows)
    said = _said(path)
    assert f"{path}, row 2, `statement`: `builtin/b`: split test has the statement of" in said[0]
    assert any("row 3, `solutions.0`: `builtin/c`: split test has the solution" in s for s in said)
    same = {"text": "Add the same."}
    mbpp = write(tmp_path / "m.jsonl", [make_mbpp(11) | same, make_mbpp(601) | same])
    assert [s.partition("`: ")[0] for s in _said(mbpp)] == [f"{mbpp}, row 2, `text"]


def test_tests_that_cannot_be_read_are_named_in_the_words_of_the_file(tmp_path, make_row, make_mbpp, write):  # fmt: skip
    asserts = {"kind": "code", "entry_point": "double", "asserts": ["assert double(1) == 2", "assert ("], "setup": "x ="}  # fmt: skip
    check = {"kind": "code", "entry_point": "other", "check": "def test(candidate): pass"}
    own = write(
        tmp_path / "own.jsonl",
        [make_row(tests=asserts), make_row("other", tests=check, statement="Other words.")],
    )
    assert [s.removeprefix(f"{own}, ") for s in _said(own, run=True)] == [
        "row 1, `tests.setup`: does not parse (line 1: invalid syntax)",
        "row 1, `tests.asserts.1`: does not parse (line 1: '(' was never closed)",
        "row 2, `tests.check`: the test code does not define `check`",
    ]
    mbpp = write(
        tmp_path / "mbpp.jsonl",
        [make_mbpp(11, test_list=["assert add(1) == 12", "assert add("]), make_mbpp(12, text="", test_list=[])],
    )  # fmt: skip
    assert [s.removeprefix(f"{mbpp}, ") for s in _said(mbpp)] == [
        "row 1, `test_list.1`: does not parse (line 1: '(' was never closed)",
        "row 2, `text`: the task's text is missing",
        "row 2, `test_list`: no tests",
    ]
    human = {"task_id": "HumanEval/0", "prompt": "def f(x):\n", "entry_point": "f", "canonical_solution": "    return x", "test": ""}  # fmt: skip
    rows = [human, human | {"task_id": "HumanEval/1", "test": "def check(candidate"}]
    path = write(tmp_path / "h.jsonl", rows)
    assert [s.removeprefix(f"{path}, ") for s in _said(path)] == [
        "row 1, `test`: no tests",
        "row 2, `test`: does not parse (line 1: '(' was never closed)",
    ]


def test_a_duplicate_id_does_not_hide_that_the_reference_fails(tmp_path, make_row, write):
    again = make_row("a", statement="Other words.", solutions=["def a(x):\n    return 3\n"])
    path = write(tmp_path / "p.jsonl", [make_row("a"), again])
    first, second = _said(path, run=True)
    assert "row 2, `id`: duplicate id `builtin/a`" in first
    assert "row 2, `solutions.0`: `builtin/a`: the reference ends in wrong_answer, 0 of 2" in second


def test_files_of_the_wrong_benchmark(tmp_path, make_row, make_mbpp, write):
    mixed = write(tmp_path / "m.jsonl", [make_mbpp(11), make_row("a"), make_mbpp(12)])
    assert _said(mixed) == [
        f"{mixed}, row 2: this looks like FALCON's own form; use jsonl:PATH"
    ]  # fmt: skip
    # A first row without its tests does not make the rest look foreign.
    bare = make_mbpp(11)
    del bare["test_list"]
    path = write(tmp_path / "b.jsonl", [bare, make_mbpp(12)])
    assert _said(path) == [f"{path}, row 1, `test_list`: the field is missing"]
    assert _said(f"apps:{mixed}") == [f"{mixed}: this looks like MBPP; use mbpp:PATH"]
    _folder(tmp_path / "apps", "0001")
    assert "of folders only APPS is read" in _said(f"mbpp:{tmp_path / 'apps'}")[0]
    assert _said(f"apps:{tmp_path / 'apps'}") == []
    (tmp_path / "empty").mkdir()
    assert _said(tmp_path / "empty") == [f"{tmp_path / 'empty'}: no problem of APPS in it"]
    with pytest.raises(UserError, match="is not there"):
        _said(tmp_path / "none.jsonl")


def test_the_command_counts_and_ends_in_1(tmp_path, make_row, write, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = write(tmp_path / "good.jsonl", [make_row("a")])
    bare = write(tmp_path / "bare.jsonl", [make_row("b", split="test", solutions=[])])
    done = CliRunner().invoke(app, ["check", str(good), str(bare), "--no-run"])
    assert (done.exit_code, done.stdout) == (
        0,
        f"{good}, {bare}: 2 problems, references not run\n",
    )
    assert "1 problems, no references" in CliRunner().invoke(app, ["check", str(bare)]).stdout
    leak = write(tmp_path / "leak.jsonl", [make_row("a", id="other/a", split="test")])
    done = CliRunner().invoke(app, ["check", str(good), str(leak), "--no-run"])
    assert done.exit_code == 1
    assert "2 fault(s)" in done.stderr  # the statement and the solution
