from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from falcon.memory.exact import Matrix
from falcon.memory.vector_file import HEAD, VectorFile

DIM = 6


def ids(*numbers: int) -> list[bytes]:
    return [number.to_bytes(16, "big") for number in numbers]


def rows(*numbers: int) -> np.ndarray:
    return np.array([[n + c / 10 for c in range(DIM)] for n in numbers], np.float32)


def filled(folder: Path, n: int = 5) -> VectorFile:
    vectors = VectorFile(folder, "enc", DIM)
    vectors.put(ids(*range(n)), rows(*range(n)))
    return vectors


def test_vectors_come_back_here_and_in_another_process(tmp_path: Path) -> None:
    vectors = filled(tmp_path)
    vectors.put(ids(3, 9), rows(77, 9))
    for each in (vectors, VectorFile(tmp_path, "enc", DIM)):
        assert len(each) == 6
        assert each.take(ids(9, 0, 3)).tolist() == rows(9, 0, 3).tolist()
        assert ids(4)[0] in each
        with pytest.raises(KeyError):
            each.take(ids(50))


def test_encoders_and_sizes_have_files_of_their_own(tmp_path: Path) -> None:
    filled(tmp_path)
    assert len(VectorFile(tmp_path, "other", DIM)) == 0
    assert len(VectorFile(tmp_path, "enc", DIM + 1)) == 0
    assert len(VectorFile(tmp_path, "enc", DIM)) == 5


def test_writers_see_what_the_others_wrote(tmp_path: Path) -> None:
    one, two = VectorFile(tmp_path, "enc", DIM), VectorFile(tmp_path, "enc", DIM)
    one.put(ids(1, 2), rows(1, 2))
    two.put(ids(2, 3), rows(22, 3))
    one.put(ids(3, 4), rows(33, 4))
    assert one.take(ids(1, 2, 3, 4)).tolist() == rows(1, 2, 3, 4).tolist()
    assert two.take(ids(2, 3)).tolist() == rows(2, 3).tolist()
    assert len(VectorFile(tmp_path, "enc", DIM)) == 4


def test_many_processes_write_at_once(tmp_path: Path) -> None:
    code = f"""
import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}]
from pathlib import Path
from test_vector_file import ids, rows
from falcon.memory.vector_file import VectorFile
vectors = VectorFile(Path({str(tmp_path)!r}), "enc", {DIM})
for n in range(60):
    vectors.put(ids(n, 1000 + int(sys.argv[1]) * 100 + n), rows(n, n))
"""
    writers = [subprocess.Popen([sys.executable, "-c", code, str(i)]) for i in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    vectors = VectorFile(tmp_path, "enc", DIM)
    assert len(vectors) == 60 + 3 * 60
    assert vectors.take(ids(*range(60))).tolist() == rows(*range(60)).tolist()
    assert vectors.take(ids(1105, 1259)).tolist() == rows(5, 59).tolist()


def test_a_torn_row_is_cut_and_a_damaged_one_is_skipped(tmp_path: Path) -> None:
    path = filled(tmp_path).path
    assert path is not None
    size = path.stat().st_size
    row = (size - HEAD) // 5
    os.truncate(path, size - 7)
    again = VectorFile(tmp_path, "enc", DIM)
    assert len(again) == 4
    again.put(ids(8), rows(8))
    assert path.stat().st_size == size
    content = bytearray(path.read_bytes())
    content[HEAD + row + 30] ^= 1
    path.write_bytes(content)
    damaged = VectorFile(tmp_path, "enc", DIM)
    assert ids(1)[0] not in damaged
    damaged.put(ids(1), rows(1))
    assert damaged.take(ids(0, 1, 8)).tolist() == rows(0, 1, 8).tolist()


def test_a_file_that_is_something_else_is_replaced_and_who_reads_it_goes_on(tmp_path: Path) -> None:
    before = filled(tmp_path)
    assert before.path is not None
    with before.path.open("r+b") as file:
        file.write(b"rubbish")
    after = VectorFile(tmp_path, "enc", DIM)
    assert len(after) == 0
    after.put(ids(7), rows(7))
    before.put(ids(11), rows(11))
    assert before.take(ids(4, 11)).tolist() == rows(4, 11).tolist()
    assert VectorFile(tmp_path, "enc", DIM).take(ids(7)).tolist() == rows(7).tolist()


def test_where_nothing_can_be_written_vectors_stay_in_ram(tmp_path: Path) -> None:
    filled(tmp_path / "there", 2)
    path = next((tmp_path / "there").iterdir())
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    for vectors in (VectorFile(None, "enc", DIM), VectorFile(blocked, "enc", DIM)):
        vectors.put(ids(5), rows(5))
        vectors.put(ids(6, 5), rows(6, 55))
        assert vectors.take(ids(6, 5)).tolist() == rows(6, 5).tolist()
    mixed = VectorFile(tmp_path / "there", "enc", DIM)
    path.unlink()
    path.mkdir()
    mixed.put(ids(1, 3), rows(11, 3))
    assert mixed.take(ids(3, 1, 0)).tolist() == rows(3, 1, 0).tolist()


@pytest.mark.parametrize("n", [1, 3, 50])
def test_exact_search_is_a_sort_of_all_cosines(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    monkeypatch.setattr("falcon.memory.exact.ROWS", 16)
    rng = np.random.default_rng(n)
    vectors = rng.integers(-2, 3, (70, 4)).astype(np.float32)  # many equal cosines
    matrix = Matrix(4)
    for start in range(0, 70, 9):
        matrix.add(vectors[start : start + 9])
    queries = rng.integers(-2, 3, (5, 4)).astype(np.float32)
    for query, (rows_found, cosines) in zip(queries, matrix.nearest(queries, n), strict=True):
        every = vectors @ query
        order = np.lexsort((np.arange(70), -every))[:n]
        assert rows_found.tolist() == order.tolist()
        assert cosines.tolist() == every[order].tolist()
    matrix.clear()
    assert len(matrix) == 0
    assert [len(rows_found) for rows_found, _ in matrix.nearest(queries, n)] == [0] * 5
