"""The stored form of an experience: one line of ASCII JSON, and what a memory keeps of it in RAM.

Opening a memory reads every record; :func:`summarise` takes from it only what statistics and
lookup need, without building the whole object.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from falcon.memory.experience import SCHEMA, Experience
from falcon.memory.text import searchable_text, text_id
from falcon.problems.problem import Split


class Summary(NamedTuple):
    """What a memory knows of a record without reading it again."""

    schema: int
    key: bytes
    problem_id: str
    split: Split
    error_type: str
    text_id: str


def encode_record(experience: Experience) -> bytes:
    """An experience as the log stores it. Raises ValueError for NaN or infinity."""
    tree = experience.model_dump()
    return json.dumps(tree, separators=(",", ":"), allow_nan=False).encode("ascii")


def decode_record(payload: bytes) -> Experience:
    """The experience of a stored record."""
    return Experience.model_validate(json.loads(payload))


def summarise(payload: bytes) -> Summary:
    """Summary of a record; of one of a newer schema only ``schema`` is told.

    Raises KeyError, TypeError or ValueError when the record is no experience.
    """
    tree = json.loads(payload)
    schema = int(tree["schema_version"])
    if schema > SCHEMA:
        return Summary(schema, b"", "", Split.TRAIN, "", "")
    said = tree["feedback"]
    outcome, error_type = tree["verdict"]["outcome"], str(said["error_type"])
    text = searchable_text(tree["task"], outcome, error_type, said["error_message"])
    fields: dict[str, Any] = {"problem_id": tree["problem_id"], "program": tree["program"]}
    return Summary(
        schema=schema,
        key=bytes.fromhex(Experience.model_construct(**fields).key),
        problem_id=str(tree["problem_id"]),
        split=Split(tree["split"]),
        error_type=error_type,
        text_id=text_id(text),
    )
