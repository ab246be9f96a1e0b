from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from falcon.memory import LongTermMemory, to_parquet
from falcon.memory import export as exporting
from falcon.sandbox.verdict import Outcome


def test_every_experience_is_a_row(filled: Path, tmp_path, encoder, make, monkeypatch) -> None:
    monkeypatch.setattr(exporting, "ROW_GROUP", 5)
    path = tmp_path / "tables" / "memory.parquet"
    odd = make(50, program="s = '\ud800'", outcome=Outcome.TIMEOUT, error="timeout", score=-0.6)
    with LongTermMemory.open(filled, encoder, writable=True) as memory:
        memory.append([odd])
        assert to_parquet(memory, path) == 13
        keys = [e.key for e in memory]
    rows = pq.read_table(path).to_pylist()
    assert [r["key"] for r in rows] == keys
    assert rows[12]["program"] == "s = '?'"
    assert (rows[12]["outcome"], rows[12]["error_type"]) == ("timeout", "timeout")
    assert (rows[12]["reward_coarse"], rows[12]["reward_style"]) == (-0.6, None)
    assert (rows[0]["n_pass"], rows[0]["n_fail"], rows[0]["score"]) == (1, 0, 1.0)


def test_an_export_that_fails_leaves_the_old_one(tmp_path: Path, make) -> None:
    path = tmp_path / "memory.parquet"
    to_parquet([make(1)], path)
    before = path.read_bytes()

    def failing():
        yield make(2)
        raise RuntimeError("read failed")

    with pytest.raises(RuntimeError, match="read failed"):
        to_parquet(failing(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["memory.parquet"]
