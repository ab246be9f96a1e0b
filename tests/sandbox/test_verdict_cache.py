"""The verdict cache: what is judged once, what is judged again, and a file that is no use."""

from __future__ import annotations

from pathlib import Path

import pytest
from cases import ADD, one
from limits import small

from falcon.sandbox import CaseResult, ErrorInfo, Outcome, Program, Sandbox, Verdict
from falcon.sandbox.cache import FILE, VerdictCache, key_of, lasting, prefix
from falcon.sandbox.wire.records import BROKEN

RIGHT = Program("def add(a, b):\n    return a + b", ADD)
WRONG = Program("def add(a, b):\n    return a - b", ADD)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FALCON_CACHE", str(tmp_path))


def counts(sandbox: Sandbox) -> tuple[int, int]:
    return sandbox.judged, sandbox.reused


def test_equal_programs_are_judged_once_in_a_batch_and_across_sandboxes() -> None:
    with Sandbox(small(workers=1, cache=True)) as first:
        told = first.judge_all([RIGHT, WRONG, RIGHT, RIGHT])
        assert [v.passed for v in told] == [True, False, True, True]
        assert counts(first) == (2, 2)
    seen: list[int] = []
    with Sandbox(small(workers=1, cache=True)) as second:
        again = second.judge_all([WRONG, RIGHT], progress=seen.append)
        assert again == [told[1], told[0]]
        assert counts(second) == (0, 2)
        assert seen[-1] == 2


def test_another_suite_limit_or_request_is_judged_anew() -> None:
    with Sandbox(small(workers=1, cache=True)) as first:
        first.judge(RIGHT)
        first.judge(Program(RIGHT.code, one(5, 2, 3, entry="add")))
        first.judge(Program(RIGHT.code, ADD, trace=True))
        assert counts(first) == (3, 0)
    with Sandbox(small(workers=1, cache=True, memory_mib=48)) as tighter:
        tighter.judge(RIGHT)
        assert counts(tighter) == (1, 0)
    with Sandbox(small(workers=2, cache=True)) as same:
        same.judge(RIGHT)
        assert counts(same) == (0, 1)


def test_without_the_setting_everything_is_judged(tmp_path: Path) -> None:
    with Sandbox(small(workers=1)) as plain:
        plain.judge_all([RIGHT, RIGHT])
        assert counts(plain) == (2, 0)
    assert not (tmp_path / FILE).exists()


def verdict(outcome: Outcome, message: str = "", kind: str = "Timeout") -> Verdict:
    error = ErrorInfo(type=kind, message=message) if message else None
    case = CaseResult(outcome=outcome, error=error)
    return Verdict(outcome=outcome, error=error, cases=(case,))


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (verdict(Outcome.PASS), True),
        (verdict(Outcome.TIMEOUT, "cpu time"), True),
        (verdict(Outcome.TIMEOUT, "wall time"), False),
        (verdict(Outcome.SANDBOX_ERROR), False),
        (verdict(Outcome.PROTOCOL_VIOLATION, "not a frame", "Protocol"), True),
        (verdict(Outcome.PROTOCOL_VIOLATION, "it breaks the sandbox", BROKEN), False),
        (verdict(Outcome.TIMEOUT, "the test", "TestTimeout"), False),
    ],
)
def test_only_what_would_come_out_the_same_is_kept(
    tmp_path: Path, told: Verdict, kept: bool
) -> None:
    assert lasting(told) == kept
    cache = VerdictCache(tmp_path / FILE)
    cache.keep({b"k": told})
    assert cache.find([b"k", b"other"]) == ({b"k": told} if kept else {})
    cache.close()


def test_the_oldest_half_goes_when_there_are_too_many(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path / FILE, most=10)
    keys = [bytes([n]) for n in range(11)]
    for key in keys:
        cache.keep({key: verdict(Outcome.PASS)})
    assert sorted(cache.find(keys)) == keys[5:]
    cache.close()


def test_a_damaged_file_is_done_without(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    assert not VerdictCache(tmp_path / FILE).usable
    with Sandbox(small(workers=1, cache=True)) as running:
        assert [v.passed for v in running.judge_all([RIGHT, RIGHT])] == [True, True]
    assert (tmp_path / FILE).read_bytes() == b"no database" * 1000


def test_keys_tell_levels_and_messages_apart() -> None:
    settings = small()
    made = {
        key_of(prefix(settings.sandbox, level), program, suite)
        for level in ("L3", "L2")
        for program in (b"a", b"b")
        for suite in (b"c", b"d")
    }
    assert len(made) == 8
    assert prefix(small(workers=1, retries=0).sandbox, "L3") == prefix(settings.sandbox, "L3")
