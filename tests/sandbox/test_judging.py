"""Programs handed in one by one are judged while more are handed in; verdicts keep their order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from falcon.config.settings import Settings
from falcon.sandbox import Program, Sandbox
from falcon.suite import CodeSuite

SUITES = [CodeSuite(asserts=(f"assert f(2) == {n}",)) for n in range(4)]
SLOW = Program("def f(x):\n    while True: pass\n", SUITES[0])


def program(n: int) -> Program:
    """Right for the suites of even numbers."""
    return Program(f"def f(x):\n    return {n % 4 if n % 2 == 0 else -1}\n", SUITES[n % 4])


@pytest.fixture(params=[False, True], ids=["no cache", "cache"])
def sandbox(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sandbox]:
    monkeypatch.setenv("FALCON_CACHE", str(tmp_path))
    settings = Settings().changed({"machine.cache": request.param, "machine.workers": 2})
    with Sandbox(settings) as running:
        yield running


def test_verdicts_are_in_the_order_of_numbers_whoever_hands_in(sandbox: Sandbox) -> None:
    numbers: dict[int, int] = {}
    with sandbox.judging() as judging:

        def hand_in(first: int) -> None:
            for n in range(first, 40, 4):
                numbers[n] = judging.add(program(n))

        threads = [threading.Thread(target=hand_in, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seen: list[int] = []
        verdicts = judging.verdicts(seen.append)
    assert sorted(numbers.values()) == list(range(40))
    assert [verdicts[numbers[n]].passed for n in range(40)] == [n % 2 == 0 for n in range(40)]
    assert seen[-1] == 40
    assert seen == sorted(seen)
    # Of 40 programs four differ; without a cache each is run for itself.
    assert (sandbox.judged, sandbox.reused) == ((40, 0) if sandbox._cache is None else (4, 36))


def test_a_program_is_judged_before_the_next_is_handed_in(sandbox: Sandbox) -> None:
    with sandbox.judging() as judging:
        judging.add(program(0))
        end = time.monotonic() + 60
        while not judging._all[0].done():
            assert time.monotonic() < end
            time.sleep(0.01)
        judging.add(program(1))
        assert [v.passed for v in judging.verdicts()] == [True, False]


def test_what_no_slot_has_begun_is_given_up_with_the_block(sandbox: Sandbox) -> None:
    programs = [Program(f"{SLOW.code}# {n}\n", SUITES[0]) for n in range(60)]
    judging = sandbox.judging()

    def interrupted() -> None:
        with judging:
            for each in programs:
                judging.add(each)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert sum(future.cancelled() for future in judging._all) > 30
    assert sandbox.judge(program(0)).passed


def test_nothing_handed_in_gives_nothing(sandbox: Sandbox) -> None:
    with sandbox.judging() as judging:
        assert judging.verdicts() == []
