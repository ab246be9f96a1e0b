from __future__ import annotations

from pathlib import Path

import pytest

from falcon.errors import UserError
from falcon.memory import Experience, LongTermMemory
from falcon.memory.record import summary_of
from falcon.memory.retention import most_valuable
from falcon.sandbox.verdict import Outcome


def history(make) -> list[Experience]:
    """Of problem p: passes 0 to 2, failures 3 to 6 of two types; of q one failure, of r a pass."""
    of_p = [make(i, problem="p", score=score) for i, score in enumerate([1.0, 1.6, 1.2])]
    kinds = enumerate(["name", "name", "type", "name"], start=3)
    of_p += [
        make(i, problem="p", outcome=Outcome.RUNTIME_ERROR, error=kind, line=2, score=-0.6)
        for i, kind in kinds
    ]
    q = make(7, problem="q", outcome=Outcome.TIMEOUT, error="timeout", score=-0.6)
    return [*of_p, q, make(8, problem="r")]


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (1, {8}),
        (3, {1, 7, 8}),  # the best of each problem
        (4, {1, 6, 7, 8}),  # then the newest failure of p
        (5, {1, 5, 6, 7, 8}),  # of each type
        (6, {1, 2, 5, 6, 7, 8}),  # the other passes by score
        (7, {0, 1, 2, 5, 6, 7, 8}),
        (8, {0, 1, 2, 4, 5, 6, 7, 8}),  # the other failures from the newest
        (0, set(range(9))),
        (50, set(range(9))),
    ],
)
def test_problems_take_turns_and_each_gives_its_most_valuable(make, keep: int, kept) -> None:
    assert most_valuable([summary_of(e) for e in history(make)], keep) == kept


def test_tampering_is_kept_only_where_there_is_room_for_every_other(make) -> None:
    attacks = [
        make(i, problem=problem, outcome=Outcome.PROTOCOL_VIOLATION, error="wrong-answer")
        for i, problem in ((9, "p"), (10, "nothing else"))
    ]
    records = [summary_of(e) for e in [*history(make), *attacks]]
    assert most_valuable(records, 9) == set(range(9))
    assert most_valuable(records, 11) == set(range(11))


def test_a_pruned_copy_keeps_the_best_and_forgets_no_error(
    folder: Path, tmp_path: Path, encoder, make
) -> None:
    everything = history(make)
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        memory.append(everything)
        memory.copy_to(tmp_path / "small", keep=4)
        before = memory.digest()
        counts, share = memory.located_errors(), memory.error_share()
        assert len(memory) == 9
    with LongTermMemory.open(tmp_path / "small", encoder, writable=True) as small:
        assert [e.origin.step for e in small] == [1, 6, 7, 8]
        assert (len(small), small.pruned) == (4, 5)
        assert (small.located_errors(), small.error_share()) == (counts, share)
        assert small.digest() != before
        assert small.append([everything[0], make(20)]) == 1  # what was pruned does not come back
        hits = small.recall(everything[0].task, k=50, min_similarity=-1)
        assert {h.experience.origin.step for h in hits} == {1, 6, 7, 8, 20}
        assert [e.origin.step for e in small.for_problem("p")] == [1, 6]
        small.copy_to(tmp_path / "smaller", keep=2)
    with LongTermMemory.open(tmp_path / "smaller", encoder) as smaller:
        assert (len(smaller), smaller.pruned) == (2, 8)
        assert smaller.located_errors() == counts
        assert everything[3] in smaller
    with LongTermMemory.open(folder, encoder) as memory:
        assert (memory.digest(), list(memory)) == (before, everything)


def test_problems_that_are_held_out_by_now_leave_nothing_behind(folder, tmp_path, encoder, make):
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        memory.append(history(make))
        memory.copy_to(tmp_path / "pruned", keep=2)
        memory.copy_to(tmp_path / "all", without={"p"})
    with LongTermMemory.open(tmp_path / "pruned", encoder) as memory:
        memory.copy_to(tmp_path / "none", without={"p"})
    for name in ("all", "none"):
        assert b'"p"' not in next((tmp_path / name).iterdir()).read_bytes()
        with LongTermMemory.open(tmp_path / name, encoder) as memory:
            assert memory.error_counts("p")["name"] == 0
            assert memory.error_counts("q")["timeout"] == 1


def test_nothing_is_copied_over(folder, encoder, make, tmp_path) -> None:
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        memory.append([make(1)])
        with pytest.raises(UserError, match="not empty"):
            memory.copy_to(folder, keep=1)
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match="not empty"):
            memory.copy_to(tmp_path / "file", keep=1)
