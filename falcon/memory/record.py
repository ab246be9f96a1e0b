"""The stored form of an experience: one line of ASCII JSON, and what a memory keeps of it in RAM.

Opening a memory reads every record; :func:`summarise` takes only what statistics and lookup
need, without building the whole object. Of a pruned experience a stub stays, its key and its
error, so that the same program is not stored again and still counts in P_error.
"""

import json
from typing import Any, NamedTuple

from falcon.memory.experience import Experience
from falcon.memory.migration import SCHEMA, upgraded
from falcon.memory.text import searchable_text, text_id, text_of
from falcon.problems.problem import Split
from falcon.sandbox.verdict import Outcome


class Summary(NamedTuple):
    """What a memory keeps of a record in RAM."""

    schema: int
    key: bytes = b""
    problem_id: str = ""
    split: Split = Split.TRAIN
    error_type: str = ""
    error_line: int = 0
    score: float = 0.0
    passed: bool = False
    tampered: bool = False
    text_id: bytes = b""
    pruned: bool = False


def summary_of(experience: Experience) -> Summary:
    """Summary of an experience."""
    feedback = experience.feedback
    return Summary(
        schema=experience.schema_version,
        key=bytes.fromhex(experience.key),
        problem_id=experience.problem_id,
        split=experience.split,
        error_type=feedback.error_type,
        error_line=feedback.error_line,
        score=experience.score,
        passed=experience.verdict.passed,
        tampered=experience.verdict.tampered,
        text_id=bytes.fromhex(text_id(text_of(experience))),
    )


def encode_record(experience: Experience, key: bytes = b"") -> bytes:
    """An experience as the log stores it; ``key`` if the caller has computed it.

    Raises ValueError for NaN or infinity.
    """
    # The key is stored, because computing it scans the program, which would slow each opening.
    tree = {"key": key.hex() or experience.key, **experience.model_dump()}
    return _line(tree)


def encode_stub(record: Summary) -> bytes:
    """The record that stays of a pruned experience."""
    return _line(
        {
            "key": record.key.hex(),
            "schema_version": SCHEMA,
            "pruned": True,
            "problem_id": record.problem_id,
            "split": record.split.value,
            "error_type": record.error_type,
            "error_line": record.error_line,
        }
    )


def _line(tree: dict[str, Any]) -> bytes:
    # ASCII: lone surrogates and line separators are escaped, so that a record is one line.
    return json.dumps(tree, separators=(",", ":"), allow_nan=False).encode("ascii")


def decode_record(payload: bytes) -> Experience:
    """The experience of a stored record, of any schema up to the current one."""
    tree = json.loads(payload)
    tree.pop("key", None)
    return Experience.model_validate(tree)


def summarise(payload: bytes) -> Summary:
    """Summary of a record; for one of a newer schema only ``schema`` is set.

    Raises KeyError, TypeError or ValueError when the record is no experience.
    """
    tree = json.loads(payload)
    schema = int(tree["schema_version"])
    if schema > SCHEMA:
        return Summary(schema)
    if tree.get("pruned"):
        return Summary(
            schema=schema,
            key=bytes.fromhex(tree["key"]),
            problem_id=str(tree["problem_id"]),
            split=Split(tree["split"]),
            error_type=str(tree["error_type"]),
            error_line=int(tree["error_line"]),
            pruned=True,
        )
    key = tree.pop("key", "")
    tree = upgraded(tree)
    feedback = tree["feedback"]
    outcome, error_type = tree["verdict"]["outcome"], str(feedback["error_type"])
    text = searchable_text(tree["task"], outcome, error_type, feedback["error_message"])
    return Summary(
        schema=schema,
        key=bytes.fromhex(key or _key(tree)),
        problem_id=str(tree["problem_id"]),
        split=Split(tree["split"]),
        error_type=error_type,
        error_line=int(feedback["error_line"]),
        score=float(tree["score"]),
        passed=outcome == Outcome.PASS,
        tampered=outcome == Outcome.PROTOCOL_VIOLATION,
        text_id=bytes.fromhex(text_id(text)),
    )


def _key(tree: dict[str, Any]) -> str:
    """Key of a record that was written before keys were stored."""
    fields = {"problem_id": tree["problem_id"], "program": tree["program"]}
    return Experience.model_construct(**fields).key
