"""Experiences as a Parquet table for analysis. One way only: the log is never read from it."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from falcon.feedback.reward import TERMS
from falcon.files import replaced_file
from falcon.memory.experience import Experience

ROW_GROUP = 2048


def row(experience: Experience) -> dict[str, Any]:
    """One flat row; a reward term that does not apply is None."""
    verdict, feedback, origin = experience.verdict, experience.feedback, experience.origin
    texts = {
        "problem_id": experience.problem_id,
        "task": experience.task,
        "program": experience.program,
        "error_message": feedback.error_message,
    }
    return {
        "key": experience.key,
        **{name: text.encode("utf-8", "replace").decode() for name, text in texts.items()},
        "split": experience.split.value,
        "outcome": verdict.outcome.value,
        "n_pass": verdict.n_pass,
        "n_fail": verdict.n_fail,
        "error_type": feedback.error_type,
        "error_line": feedback.error_line,
        "score": experience.score,
        **{f"reward_{term}": feedback.value(term) for term in TERMS},
        "stage": origin.stage,
        "run": origin.run,
        "step": origin.step,
        "policy": origin.policy,
        "time": origin.time,
    }


def _schema() -> Any:
    import pyarrow as pa

    text = ("key", "problem_id", "task", "program", "error_message", "split", "outcome")
    columns = [(name, pa.string()) for name in text]
    columns += [("n_pass", pa.int64()), ("n_fail", pa.int64())]
    columns += [("error_type", pa.string()), ("error_line", pa.int64()), ("score", pa.float64())]
    columns += [(f"reward_{term}", pa.float64()) for term in TERMS]
    columns += [("stage", pa.string()), ("run", pa.string()), ("step", pa.int64())]
    return pa.schema([*columns, ("policy", pa.string()), ("time", pa.string())])


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(rows, ROW_GROUP)):
        yield batch


def to_parquet(experiences: Iterable[Experience], path: Path) -> int:
    """Write experiences as one Parquet file, atomically, and return their number.

    Lone surrogates, which Parquet cannot hold, become question marks.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, written = _schema(), 0
    with replaced_file(path) as temporary, pq.ParquetWriter(temporary, schema) as out:
        for batch in _batches(map(row, experiences)):
            out.write_table(pa.Table.from_pylist(batch, schema=schema))
            written += len(batch)
    return written
