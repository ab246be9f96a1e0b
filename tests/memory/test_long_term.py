from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from falcon.errors import UserError
from falcon.feedback.error_types import ERROR_TYPES
from falcon.memory import Experience, HashEncoder, LongTermMemory
from falcon.memory.log import frame, segment_name
from falcon.problems.problem import Split
from falcon.sandbox.verdict import Outcome


def test_everything_comes_back_in_order(folder: Path, encoder, make) -> None:
    experiences = [
        make(0, program="s = '\u2028 \x00 \ud800 é'\n", message="two\nlines"),
        make(1),
        make(2),
    ]
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        assert memory.append(experiences) == 3
        assert list(memory) == experiences
    with LongTermMemory.open(folder, encoder) as memory:
        assert len(memory) == 3
        assert list(memory) == experiences
        assert experiences[1] in memory
        assert make(9) not in memory


def test_duplicates_are_skipped_within_a_batch_and_over_sessions(filled: Path, encoder, make):
    with LongTermMemory.open(filled, encoder, writable=True) as memory:
        new = make(50)
        same_program = make(50, program=new.program + "\n\n", score=0.2)
        assert memory.append([make(3), new, same_program, make(4)]) == 1
        assert memory.append([new]) == 0
        assert len(memory) == 13


@pytest.mark.parametrize("split", [Split.VALID, Split.TEST])
def test_held_out_problems_are_refused_and_nothing_is_added(filled: Path, encoder, make, split):
    with LongTermMemory.open(filled, encoder, writable=True) as memory:
        with pytest.raises(ValueError, match="held out"):
            memory.append([make(60), make(61, split=split)])
        assert len(memory) == 12


def test_a_held_out_record_in_the_file_is_refused_with_its_line(filled: Path, encoder) -> None:
    path = filled / segment_name(1)
    lines = path.read_bytes().splitlines()
    lines[2] = frame(lines[2][9:].replace(b'"train"', b'"test"')).rstrip(b"\n")
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(UserError, match=r"line 3: builtin/p2 .*held-out split `test`"):
        LongTermMemory.open(filled, encoder)


def test_unfit_experiences_are_refused(filled: Path, encoder, make) -> None:
    unfit = {
        "unknown error type": make(70, error="no-such"),
        "fault of the sandbox": make(71, outcome=Outcome.SANDBOX_ERROR),
        "not JSON compliant": make(72, score=math.nan),
    }
    with LongTermMemory.open(filled, encoder, writable=True) as memory:
        for reason, experience in unfit.items():
            with pytest.raises(ValueError, match=reason):
                memory.append([experience])
        assert len(memory) == 12
        assert memory.append([make(73)]) == 1


def test_a_future_schema_is_refused(filled: Path, encoder) -> None:
    path = filled / segment_name(1)
    future = frame(b'{"schema_version":9,"shape":"unknown"}')
    path.write_bytes(path.read_bytes() + future)
    before = path.read_bytes()
    for writable in (False, True):
        with pytest.raises(UserError, match=r"line 13: written with schema 9, newer than 4"):
            LongTermMemory.open(filled, encoder, writable=writable)
    assert path.read_bytes() == before


def test_a_line_that_is_no_experience_is_named(filled: Path, encoder) -> None:
    path = filled / segment_name(1)
    path.write_bytes(path.read_bytes() + frame(b'{"schema_version":1}'))
    with pytest.raises(UserError, match=r"line 13: not an experience"):
        LongTermMemory.open(filled, encoder)


def test_a_reader_sees_the_memory_as_it_was_while_a_writer_appends(filled, encoder, make) -> None:
    with (
        LongTermMemory.open(filled, encoder, writable=True) as writer,
        LongTermMemory.open(filled, encoder) as reader,
    ):
        early = reader.digest()
        writer.append([make(i) for i in range(100, 140)])
        writer.recall("Task 100", k=2, min_similarity=-1)  # takes the index
        assert (len(reader), reader.digest()) == (12, early)
        (hit,) = reader.recall(make(5).task, k=1, min_similarity=0)
        assert hit.experience == make(5)
        with LongTermMemory.open(filled, encoder) as later:
            assert len(later) == 52
            assert later.digest() == writer.digest()
        with pytest.raises(ValueError, match="read-only"):
            reader.append([make(200)])


def test_a_second_writer_is_refused(filled: Path, encoder) -> None:
    with (
        LongTermMemory.open(filled, encoder, writable=True),
        pytest.raises(UserError, match="another writer"),
    ):
        LongTermMemory.open(filled, encoder, writable=True)


def test_error_share_is_laplace_smoothed_and_survives_reopening(folder, encoder, make) -> None:
    errors = ["name"] * 3 + ["timeout"]
    experiences = [make(i, outcome=Outcome.RUNTIME_ERROR, error=e) for i, e in enumerate(errors)]
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        uniform = memory.error_share()
        assert set(uniform) == set(ERROR_TYPES)
        assert uniform["name"] == pytest.approx(1 / len(ERROR_TYPES))
        memory.append([*experiences, make(9)])
        live = memory.error_share()
    with LongTermMemory.open(folder, encoder) as memory:
        assert memory.error_counts()["name"] == 3
        assert memory.error_counts()["syntax"] == 0
        share = memory.error_share()
    types = len(ERROR_TYPES)
    assert share == live
    assert share["name"] == pytest.approx(4 / (4 + types))
    assert share["timeout"] == pytest.approx(2 / (4 + types))
    assert sum(share.values()) == pytest.approx(1)


def test_sampling_depends_on_the_generator_and_not_on_the_path(filled: Path, tmp_path, encoder):
    with LongTermMemory.open(filled, encoder) as memory:
        memory.copy_to(tmp_path / "elsewhere" / "copy")
        first = memory.sample(np.random.default_rng(7), 5)
        other = memory.sample(np.random.default_rng(8), 5)
        everything = memory.sample(np.random.default_rng(7), 500)
    with LongTermMemory.open(tmp_path / "elsewhere" / "copy", encoder) as copy:
        assert copy.sample(np.random.default_rng(7), 5) == first
    assert first != other
    assert len({e.key for e in first}) == 5
    assert len({e.key for e in everything}) == len(everything) == 12


def test_sampling_is_uniform_and_by_problem(folder: Path, encoder, make) -> None:
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        memory.append([make(i, problem=f"builtin/{'ab'[i % 2]}") for i in range(8)])
        rng = np.random.default_rng(0)
        steps = [e.origin.step for _ in range(2000) for e in memory.sample(rng, 2)]
        counts = np.bincount(steps, minlength=8)
        assert counts.min() > 400
        assert counts.max() < 600
        chosen = memory.sample(rng, 3, problem_id="builtin/b")
        assert len(chosen) == 3
        assert {e.problem_id for e in chosen} == {"builtin/b"}
        assert memory.sample(rng, 3, problem_id="builtin/none") == []
        assert [e.origin.step for e in memory.for_problem("builtin/b")] == [1, 3, 5, 7]


def test_copy_keeps_the_digest_and_goes_its_own_way(filled: Path, tmp_path, encoder, make) -> None:
    target = tmp_path / "copy"
    with LongTermMemory.open(filled, encoder) as memory:
        memory.copy_to(target)
        digest = memory.digest()
        with pytest.raises(UserError, match="not empty"):
            memory.copy_to(target)
    assert {p.name for p in tmp_path.iterdir()} == {"memory", "memory.lock", "copy"}
    with LongTermMemory.open(target, encoder, writable=True) as copy:
        assert copy.digest() == digest
        copy.append([make(99)])
        assert copy.digest() != digest
    with LongTermMemory.open(filled, encoder) as memory:
        assert memory.digest() == digest


def test_digest_is_of_the_contents_alone(tmp_path: Path, encoder: HashEncoder, make) -> None:
    experiences: list[Experience] = [make(i) for i in range(20)]
    with LongTermMemory.open(tmp_path / "a", encoder, writable=True) as a:
        a.append(experiences)
    with LongTermMemory.open(tmp_path / "b", encoder, writable=True, segment_bytes=900) as b:
        for experience in experiences:
            b.append([experience])
        assert len(list((tmp_path / "b").iterdir())) > 3
        assert b.digest() == a.digest()
