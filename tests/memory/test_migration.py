"""Old records are read as what they were; the stored form does not change unnoticed."""

from __future__ import annotations

import hashlib
import json
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel

from falcon.memory import Experience, LongTermMemory, TaskDetails
from falcon.memory.log import frame, segment_name
from falcon.memory.migration import SCHEMA, STEPS, upgraded
from falcon.memory.record import encode_record, summarise

# A record as schema 1 wrote it, byte for byte.
FIRST = (
    b'{"schema_version":1,"problem_id":"builtin/old","split":"train","task":"Add 1.",'
    b'"program":"def f(x):\\n    return y + 1\\n","verdict":{"outcome":"runtime_error",'
    b'"error":{"type":"NameError","line":2,"message":"name \'y\' is not defined"},'
    b'"cases":[{"outcome":"runtime_error","error":null}],"cpu_s":0.0,"wall_s":0.0,'
    b'"isolation":"L3","integrity":"split","detail":""},"feedback":{"rewards":[{"term":"coarse",'
    b'"value":-0.6,"span":{"start":0,"end":9},"reason":"failed"}],"error_type":"name",'
    b'"error_line":2,"error_message":"name \'y\' is not defined","tripwires":[]},"score":-0.6,'
    b'"origin":{"stage":"train","run":"","step":4,"policy":"abc"}}'
)

# The same as schema 2 wrote it.
SECOND = FIRST.replace(b'"schema_version":1', b'"schema_version":2').replace(
    b'"policy":"abc"', b'"policy":"abc","time":"2026-11-01T00:00:00Z"'
)


# As schema 3 wrote it: a program of one line, an error on it and one about all of it.
THIRD = (
    SECOND.replace(b'"schema_version":2', b'"schema_version":3')
    .replace(b'"origin"', b'"asked":{},"origin"')
    .replace(b'"program":"def f(x):\\n    return y + 1\\n"', b'"program":"f = abs(y)"')
    .replace(
        b'"reason":"failed"}',
        b'"reason":"failed"},{"term":"negative","value":-0.1,"span":{"start":0,"end":9},'
        b'"reason":"name: -N * P = -1 * 0.1 = -0.1, line 1"},{"term":"negative","value":-0.1,'
        b'"span":{"start":0,"end":9},"reason":"timeout: -N * P = -1 * 0.1 = -0.1, whole program"},'
        b'{"term":"error","value":0.0,"span":null,"reason":"runtime: no share of tests"}',
    )
)


def old_memory(folder: Path) -> Path:
    folder.mkdir()
    (folder / segment_name(1)).write_bytes(frame(FIRST))
    return folder


def test_a_memory_of_schema_1_is_read_added_to_and_left_as_it_is(folder, encoder, make) -> None:
    old_memory(folder)
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        (old,) = memory
        assert (old.schema_version, old.origin.step, old.origin.time) == (SCHEMA, 4, "")
        assert old.verdict.error is not None
        assert (old.verdict.error.line, old.feedback.value("coarse")) == (2, -0.6)
        assert memory.error_counts()["name"] == 1
        same = old.model_copy(update={"program": "def f(x):\n    return y + 1  # again\n"})
        assert memory.append([same]) == 0
        assert memory.append([make(1)]) == 1
        hits = memory.recall("Add 1.", k=2, min_similarity=-1)
        assert {h.experience.problem_id: h.experience for h in hits} == {
            e.problem_id: e for e in (old, make(1))
        }
    lines = (folder / segment_name(1)).read_bytes().splitlines()
    assert lines[0] + b"\n" == frame(FIRST)
    with LongTermMemory.open(folder, encoder) as memory:
        assert list(memory) == [old, make(1)]


def test_old_experiences_in_a_checkpoint_are_migrated_too() -> None:
    old = Experience.model_validate_json(FIRST)
    assert old.schema_version == SCHEMA
    assert Experience.model_validate_json(old.model_dump_json()) == old


@pytest.mark.parametrize("version", [SCHEMA + 1, 0, -1, "1", None, 1.5])
def test_a_schema_that_is_not_known_is_refused(version: object) -> None:
    with pytest.raises(ValueError, match="none of 1 to"):
        upgraded({"schema_version": version})


def test_there_is_a_step_from_every_schema() -> None:
    assert sorted(STEPS) == list(range(1, SCHEMA))


def shape(model: type[BaseModel]) -> list[str]:
    """Every field below a model with its type and what it may be left out as."""
    fields_found = []
    for name, field in model.model_fields.items():
        fields_found.append(f"{model.__name__}.{name}: {field.annotation!r} = {field.default!r}")
        parts = [field.annotation, *typing.get_args(field.annotation)]
        for part in parts:
            if isinstance(part, type) and issubclass(part, BaseModel):
                fields_found += shape(part)
    return fields_found


def test_schema_2_has_no_task_details(folder, encoder) -> None:
    folder.mkdir()
    (folder / segment_name(1)).write_bytes(frame(SECOND))
    with LongTermMemory.open(folder, encoder) as memory:
        (old,) = memory
    assert (old.schema_version, old.asked) == (SCHEMA, TaskDetails())
    assert old.origin.time == "2026-11-01T00:00:00Z"
    assert (old.problem().statement, old.problem().entry_point) == ("Add 1.", "")


def test_schema_3_marks_no_spans() -> None:
    old = Experience.model_validate_json(THIRD)
    assert old.program == "f = abs(y)"
    spans = [reward.span for reward in old.feedback.rewards]
    assert [span and span.whole for span in spans] == [True, False, True, None]


@pytest.mark.parametrize(
    ("outcome", "score"), [("pass", 3 + 4.5 / 5.5), ("runtime_error", 4.5 / 5.5)]
)
def test_scores_of_schema_3_are_ranked_by_the_tests(outcome: str, score: float) -> None:
    """By the old scores this wrong program came before a right one of 4.4."""
    written = THIRD.replace(b'"outcome":"runtime_error"', f'"outcome":"{outcome}"'.encode())
    payload = written.replace(b'"score":-0.6', b'"score":4.5')
    assert Experience.model_validate_json(payload).score == pytest.approx(score)
    assert summarise(payload).score == pytest.approx(score)


def test_tampering_of_schema_3_loses_its_rewards() -> None:
    payload = THIRD.replace(b"runtime_error", b"protocol_violation")
    old = Experience.model_validate_json(payload)
    assert old.verdict.tampered
    assert old.feedback.rewards == ()
    assert old.score < -2
    assert summarise(payload).tampered


STORED = "aef60367c04710dd"


def test_the_stored_form_changes_with_its_schema_alone(make) -> None:
    """Fails when Experience, Verdict, Feedback or what they hold is changed: count SCHEMA up, add
    a step to migration.py with a record of the old form here, and pin the new form."""
    digest = hashlib.sha256("\n".join(shape(Experience)).encode()).hexdigest()[:16]
    assert (SCHEMA, digest) == (4, STORED)
    fields = json.loads(encode_record(make(1)))
    assert list(fields) == ["key", *Experience.model_fields]
