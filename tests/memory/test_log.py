from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from falcon.errors import UserError
from falcon.memory.log import Log, frame, segment_name

RECORDS = [b'{"n":%d}' % n for n in range(10)]


def fill(folder: Path, records: list[bytes], segment_bytes: int = 1 << 20) -> Path:
    with Log.open(folder, writable=True, segment_bytes=segment_bytes) as log:
        for record in records:
            log.append([record])
    return folder / segment_name(1)


def contents(folder: Path) -> list[bytes]:
    with Log.open(folder) as log:
        return list(log)


def test_lines_are_checksum_and_json(folder: Path) -> None:
    path = fill(folder, RECORDS[:2])
    expected = b"".join(b"%08x %b\n" % (zlib.crc32(r), r) for r in RECORDS[:2])
    assert path.read_bytes() == expected


def test_visit_tells_file_and_line(folder: Path) -> None:
    fill(folder, RECORDS, segment_bytes=40)
    visited: list[tuple[bytes, str, int]] = []
    with Log.open(folder, visit=lambda p, f, n: visited.append((p, f.name, n))):
        pass
    assert [payload for payload, _, _ in visited] == RECORDS
    assert visited[0][1:] == (segment_name(1), 1)
    assert visited[3][1:] == (segment_name(2), 1)


@pytest.mark.parametrize("cut", [1, 5, 12, 17])
def test_reader_ignores_and_writer_cuts_a_torn_last_line(folder: Path, cut: int) -> None:
    path = fill(folder, RECORDS)
    intact = path.read_bytes()
    torn = intact + frame(b'{"n":10}')[:cut]
    path.write_bytes(torn)
    expected = RECORDS if cut < 17 else [*RECORDS, b'{"n":10}']  # 17: only its newline is gone
    assert contents(folder) == expected
    assert path.read_bytes() == torn
    with Log.open(folder, writable=True) as log:
        log.append([b'{"n":11}'])
    assert contents(folder) == [*expected, b'{"n":11}']


def test_a_damaged_line_is_named(folder: Path) -> None:
    path = fill(folder, RECORDS)
    damaged = path.read_bytes().replace(b'{"n":4}', b'{"n":7}')
    path.write_bytes(damaged)
    for writable in (False, True):
        with pytest.raises(UserError, match=r"segment-000001\.jsonl, line 5: damaged"):
            Log.open(folder, writable=writable)
    assert path.read_bytes() == damaged


def test_a_whole_last_line_that_is_damaged_is_not_taken_for_torn(folder: Path) -> None:
    path = fill(folder, RECORDS)
    path.write_bytes(path.read_bytes().replace(b'{"n":9}', b'{"n":8}'))
    with pytest.raises(UserError, match="line 10: damaged"):
        Log.open(folder, writable=True)


def test_a_torn_line_in_an_earlier_segment_is_damage(folder: Path) -> None:
    path = fill(folder, RECORDS, segment_bytes=40)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match=r"segment-000001\.jsonl, line 3: damaged"):
        Log.open(folder)


def test_a_missing_segment_is_named(folder: Path) -> None:
    fill(folder, RECORDS, segment_bytes=40)
    (folder / segment_name(2)).unlink()
    with pytest.raises(UserError, match=r"segment-000002\.jsonl is missing"):
        Log.open(folder)


def test_segments_do_not_change_contents_or_digest(tmp_path: Path) -> None:
    fill(tmp_path / "one", RECORDS)
    fill(tmp_path / "many", RECORDS, segment_bytes=40)
    assert len(list((tmp_path / "many").iterdir())) > 2
    with Log.open(tmp_path / "one") as one, Log.open(tmp_path / "many") as many:
        assert list(one) == list(many) == RECORDS
        assert one.digest() == many.digest()
        assert one.digest(4) == many.digest(4) != one.digest()


def test_digest_of_a_prefix_is_the_digest_it_had(folder: Path) -> None:
    with Log.open(folder, writable=True) as log:
        log.append(RECORDS[:6])
        early = log.digest()
        log.append(RECORDS[6:])
        assert log.digest(6) == early != log.digest()


def test_digest_depends_on_order(tmp_path: Path) -> None:
    fill(tmp_path / "a", RECORDS)
    fill(tmp_path / "b", RECORDS[::-1])
    with Log.open(tmp_path / "a") as a, Log.open(tmp_path / "b") as b:
        assert a.digest() != b.digest()


def test_second_writer_is_refused_with_the_reason(folder: Path) -> None:
    with Log.open(folder, writable=True):
        with pytest.raises(UserError, match=r"another writer .*held by process \d+"):
            Log.open(folder, writable=True)
        assert contents(folder) == []
    with Log.open(folder, writable=True) as log:
        log.append(RECORDS)


def test_a_reader_cannot_append(folder: Path) -> None:
    fill(folder, RECORDS)
    with Log.open(folder) as log, pytest.raises(ValueError, match="not open for writing"):
        log.append([b"{}"])


def test_an_absent_log_is_a_user_error(folder: Path) -> None:
    with pytest.raises(UserError, match="no memory here"):
        Log.open(folder)


def test_folder_holds_nothing_but_segments(folder: Path) -> None:
    fill(folder, RECORDS)
    assert [p.name for p in folder.iterdir()] == [segment_name(1)]


def test_a_full_disk_leaves_the_log_as_it_was(folder: Path) -> None:
    import resource
    import signal

    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with Log.open(folder, writable=True) as log:
            log.append(RECORDS)
            size = (folder / segment_name(1)).stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, old[1]))
            with pytest.raises(OSError, match="File too large"):
                log.append([b'{"long":"%b"}' % (b"x" * 200)])
            with pytest.raises(ValueError, match="not open for writing"):
                log.append(RECORDS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert (folder / segment_name(1)).stat().st_size == size
    assert contents(folder) == RECORDS
