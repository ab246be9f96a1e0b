"""Problems as Parquet: equal after the way through, or a UserError."""

from __future__ import annotations

import os

import pytest

from falcon.errors import UserError
from falcon.problems import load_benchmark, read_problems, write_problems


def test_problems_come_back_equal_with_equal_bytes(tmp_path, make_problem):
    odd = make_problem("odd", statement="ünï\u2028 \x00 text", tags=["a"])
    problems = [make_problem("b"), odd, *load_benchmark("humaneval", tmp_path)[:3]]
    one, two = tmp_path / "deep" / "one.parquet", tmp_path / "two.parquet"
    write_problems(one, problems)
    write_problems(two, problems)
    assert read_problems(one) == problems
    assert one.read_bytes() == two.read_bytes()
    assert os.listdir(one.parent) == ["one.parquet"]


def test_columns_for_people(tmp_path, make_problem):
    import pyarrow.parquet as pq

    write_problems(tmp_path / "p.parquet", [make_problem("b", split="valid")])
    (row,) = pq.read_table(tmp_path / "p.parquet").to_pylist()
    assert (row["id"], row["split"], row["entry_point"]) == ("builtin/b", "valid", "b")
    assert list(row)[-1] == "row"


def test_values_json_would_change_are_refused_and_nothing_is_left(tmp_path, make_problem):
    for value in ({1: 2}, float("inf"), {1, 2}, (1, 2)):
        tests = {"kind": "call", "entry_point": "b", "calls": [{"args": [], "expected": value}]}
        with pytest.raises(UserError, match="`builtin/b`: its tests hold values"):
            write_problems(tmp_path / "p.parquet", [make_problem("b", tests=tests)])
    assert os.listdir(tmp_path) == []


def test_damaged_and_foreign_files(tmp_path, make_problem):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "p.parquet"
    with pytest.raises(UserError, match="is not there"):
        read_problems(path)
    write_problems(path, [make_problem("b")])
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(UserError, match="not a whole Parquet file"):
        read_problems(path)
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(UserError, match="other columns"):
        read_problems(path)
    write_problems(path, [make_problem("b")])
    table = pq.read_table(path)
    for bad in ('{"id": 1}', "no json", None):
        rows = pa.array([bad], pa.string())
        pq.write_table(table.set_column(table.num_columns - 1, "row", rows), path)
        with pytest.raises(UserError, match="row 1: not a problem"):
            read_problems(path)
